-- What each aircraft did last, as it lands and as that grows old: a row at the landing and 3, 6, 12, 24 and 72 hours
-- after it, unless it has landed again by then.
WITH landings AS (
    SELECT
        tailnum,
        time_hour + to_minutes((minute + dep_delay + air_time + 30)::BIGINT) AS landed,
        max(arr_delay) AS arrival_delay -- two landings in one minute are an error of the records; keep one, the worse
    FROM flights
    WHERE arr_delay IS NOT NULL AND tailnum <> '' AND landed <= getvariable('as_of')
    GROUP BY ALL
),

stays AS (
    SELECT
        *,
        lead(landed) OVER (PARTITION BY tailnum ORDER BY landed) AS next_landed
    FROM landings
),

ages AS (
    SELECT
        tailnum,
        landed + to_hours(age) AS event_timestamp,
        arrival_delay,
        age,
        CASE WHEN age = 0 THEN 1 ELSE 0 END AS landings,
        CASE WHEN age = 0 AND arrival_delay >= 15 THEN 1 ELSE 0 END AS late
    FROM stays
    CROSS JOIN unnest([0, 3, 6, 12, 24, 72]) AS steps (age)
    WHERE next_landed IS NULL OR landed + to_hours(age) < next_landed
)

SELECT
    tailnum,
    event_timestamp,
    arrival_delay::FLOAT AS aircraft_last_arrival_delay,
    age::FLOAT AS aircraft_hours_since_landing,
    (sum(late) OVER week_before / sum(landings) OVER week_before)::FLOAT AS aircraft_late_rate_7d
FROM ages
-- In microseconds as whole numbers: DuckDB is slow with ranges of time stamps that have a zone, and of fractions.
WINDOW week_before AS (PARTITION BY tailnum ORDER BY epoch_us(event_timestamp) RANGE 604800000000 PRECEDING)
ORDER BY event_timestamp, tailnum
