-- One row a flight: who flies where and when, the moment of the question, and the answer once it is known.
-- `hour`, `minute` and `sched_*` are local; `time_hour` is the scheduled hour in UTC, so the moment is built from it.
WITH scheduled AS (
    SELECT
        *,
        time_hour + to_minutes(minute::BIGINT) AS scheduled_departure,
        -- No one publishes the landing: take-off, time in the air, and half an hour for the taxi ways.
        time_hour + to_minutes((minute + dep_delay + air_time + 30)::BIGINT) AS landed
    FROM flights
)

SELECT
    carrier,
    flight::BIGINT AS flight,
    origin,
    dest,
    coalesce(tailnum, '') AS tailnum,
    scheduled_departure,
    scheduled_departure - INTERVAL 2 HOUR AS event_timestamp,
    -- Cancelled and diverted flights have no arrival delay and so no answer; flights still in the air have none yet.
    CASE WHEN landed <= getvariable('as_of') THEN (arr_delay >= 15)::TINYINT END AS late,
    CASE WHEN landed <= getvariable('as_of') AND arr_delay IS NOT NULL THEN landed END AS label_timestamp
FROM scheduled
ORDER BY event_timestamp, carrier, flight, origin, dest, tailnum
