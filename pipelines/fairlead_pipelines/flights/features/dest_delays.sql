-- How late flights came in at each destination over the last six hours, at every full hour in which that changed.
WITH landings AS (
    SELECT
        dest,
        date_trunc('hour', landed - INTERVAL 1 MICROSECOND) + INTERVAL 1 HOUR AS hour,
        count(*) AS landings,
        sum(arr_delay) AS delay,
        count(*) FILTER (arr_delay >= 15) AS late
    FROM (
        SELECT *, time_hour + to_minutes((minute + dep_delay + air_time + 30)::BIGINT) AS landed
        FROM flights
        WHERE arr_delay IS NOT NULL AND landed <= getvariable('as_of')
    )
    GROUP BY ALL
),

-- The window changes when a landing enters it and, six hours on, when it leaves.
hours AS (
    SELECT dest, hour FROM landings
    UNION
    SELECT dest, hour + INTERVAL 6 HOUR FROM landings
)

SELECT
    dest,
    hour AS event_timestamp,
    (sum(late) OVER recent / sum(landings) OVER recent)::FLOAT AS dest_late_rate_6h,
    (sum(delay) OVER recent / sum(landings) OVER recent)::FLOAT AS dest_arrival_delay_6h
FROM hours
LEFT JOIN landings USING (dest, hour)
WINDOW recent AS (PARTITION BY dest ORDER BY hour RANGE INTERVAL 5 HOUR PRECEDING)
ORDER BY event_timestamp, dest
