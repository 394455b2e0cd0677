-- How each carrier did of late, at every full hour: of what had landed by then, over the last day and the last week.
WITH landings AS (
    SELECT
        carrier,
        -- A landing at 10:00:01 is known in the row of 11:00.
        date_trunc('hour', landed - INTERVAL 1 MICROSECOND) + INTERVAL 1 HOUR AS hour,
        count(*) AS landings,
        count(*) FILTER (arr_delay >= 15) AS late
    FROM (
        SELECT *, time_hour + to_minutes((minute + dep_delay + air_time + 30)::BIGINT) AS landed
        FROM flights
        WHERE arr_delay IS NOT NULL AND landed <= getvariable('as_of')
    )
    GROUP BY ALL
),

hours AS (
    SELECT carrier, unnest(generate_series(first_hour, last_hour, INTERVAL 1 HOUR)) AS hour
    FROM (SELECT carrier, min(hour) AS first_hour FROM landings GROUP BY carrier)
    -- A day beyond the last flight, or now: the windows go on closing while nothing lands.
    CROSS JOIN (SELECT least(getvariable('as_of'), max(time_hour) + INTERVAL 1 DAY) AS last_hour FROM flights)
)

SELECT
    carrier,
    hour AS event_timestamp,
    (sum(late) OVER day_before / sum(landings) OVER day_before)::FLOAT AS carrier_late_rate_1d,
    (sum(late) OVER week_before / sum(landings) OVER week_before)::FLOAT AS carrier_late_rate_7d,
    coalesce(sum(landings) OVER day_before, 0)::FLOAT AS carrier_departures_1d
FROM hours
LEFT JOIN landings USING (carrier, hour)
WINDOW
    day_before AS (PARTITION BY carrier ORDER BY hour ROWS 23 PRECEDING),
    week_before AS (PARTITION BY carrier ORDER BY hour ROWS 167 PRECEDING)
ORDER BY event_timestamp, carrier
