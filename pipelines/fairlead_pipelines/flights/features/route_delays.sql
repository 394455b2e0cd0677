-- How each route did over the last two weeks, once a day, at 09:00 UTC, before New York's morning wave.
WITH landings AS (
    SELECT
        origin,
        dest,
        date_trunc('day', landed - INTERVAL 9 HOUR - INTERVAL 1 MICROSECOND) + INTERVAL 33 HOUR AS morning,
        count(*) AS landings,
        sum(arr_delay) AS delay,
        count(*) FILTER (arr_delay >= 15) AS late,
        max(distance) AS distance
    FROM (
        SELECT *, time_hour + to_minutes((minute + dep_delay + air_time + 30)::BIGINT) AS landed
        FROM flights
        WHERE arr_delay IS NOT NULL AND landed <= getvariable('as_of')
    )
    GROUP BY ALL
),

mornings AS (
    SELECT origin, dest, unnest(generate_series(first_one, last_one, INTERVAL 1 DAY)) AS morning
    FROM (SELECT origin, dest, min(morning) AS first_one FROM landings GROUP BY origin, dest)
    CROSS JOIN (SELECT least(getvariable('as_of'), max(time_hour) + INTERVAL 1 DAY) AS last_one FROM flights)
)

SELECT
    origin,
    dest,
    morning AS event_timestamp,
    (sum(late) OVER fortnight / sum(landings) OVER fortnight)::FLOAT AS route_late_rate_14d,
    (sum(delay) OVER fortnight / sum(landings) OVER fortnight)::FLOAT AS route_arrival_delay_14d,
    max(distance) OVER so_far::FLOAT AS route_distance
FROM mornings
LEFT JOIN landings USING (origin, dest, morning)
WINDOW
    fortnight AS (PARTITION BY origin, dest ORDER BY morning ROWS 13 PRECEDING),
    so_far AS (PARTITION BY origin, dest ORDER BY morning)
ORDER BY event_timestamp, origin, dest
