-- The weather at each origin. The observation of an hour is taken as published an hour later. There are gaps.
SELECT
    origin,
    time_hour + INTERVAL 1 HOUR AS event_timestamp,
    max(temp)::FLOAT AS origin_temp,
    max(wind_speed)::FLOAT AS origin_wind_speed,
    max(precip)::FLOAT AS origin_precip,
    min(visib)::FLOAT AS origin_visib,
    max(pressure)::FLOAT AS origin_pressure
FROM weather
WHERE time_hour + INTERVAL 1 HOUR <= getvariable('as_of')
GROUP BY ALL -- an hour that was recorded twice (clocks going back) makes one row
ORDER BY event_timestamp, origin
