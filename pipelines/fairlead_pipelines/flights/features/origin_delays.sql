-- How departures went at each origin over the last three hours, at every half hour.
WITH departures AS (
    SELECT
        origin,
        -- A departure is known in the row of the next half hour.
        time_bucket(INTERVAL 30 MINUTE, departed - INTERVAL 1 MICROSECOND) + INTERVAL 30 MINUTE AS half_hour,
        count(*) AS departures,
        sum(dep_delay) AS delay,
        count(*) FILTER (dep_delay >= 15) AS late
    FROM (
        SELECT *, time_hour + to_minutes((minute + dep_delay)::BIGINT) AS departed
        FROM flights
        WHERE dep_delay IS NOT NULL AND departed <= getvariable('as_of')
    )
    GROUP BY ALL
),

half_hours AS (
    SELECT origin, unnest(generate_series(first_one, last_one, INTERVAL 30 MINUTE)) AS half_hour
    FROM (SELECT origin, min(half_hour) AS first_one FROM departures GROUP BY origin)
    -- A day beyond the last flight, or now: the windows go on closing while nothing leaves.
    CROSS JOIN (SELECT least(getvariable('as_of'), max(time_hour) + INTERVAL 1 DAY) AS last_one FROM flights)
)

SELECT
    origin,
    half_hour AS event_timestamp,
    (sum(delay) OVER recent / sum(departures) OVER recent)::FLOAT AS origin_departure_delay_3h,
    (sum(late) OVER recent / sum(departures) OVER recent)::FLOAT AS origin_late_rate_3h,
    coalesce(sum(departures) OVER recent, 0)::FLOAT AS origin_departures_3h
FROM half_hours
LEFT JOIN departures USING (origin, half_hour)
WINDOW recent AS (PARTITION BY origin ORDER BY half_hour ROWS 5 PRECEDING)
ORDER BY event_timestamp, origin
