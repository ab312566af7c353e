/** The example of the configuration language, without what later versions bring (`generate`, `pii`). */
export const ecommerce = `domain: ecommerce
event_types:
  - name: page_view
    attributes: [user_id, session_id, page]
    dimensions: [device, country]
  - name: purchase
    key: user_id                                   # partition key; default: event_id
    attributes:
      - order_id                                   # short form: nullable string
      - user_id
      - product_id
      - {name: coupon, type: string}               # long form
    dimensions: [category, country, device]
    metrics:
      - {name: amount, type: money}                # in: 12.34 or "12.34"; stored as amount_cents: long, exactly
      - {name: quantity, type: long}
    derive:
      basket: "case when amount >= 100.00 then 'large' else 'small' end"
    enrich:
      - {lookup: products, on: product_id, take: {brand: brand}}
    checks:
      amount_is_positive: amount > 0.00
lookups:
  - {name: products, key: product_id, columns: {brand: string, list_price: money}, from: {csv: ../lookups/products.csv}, refresh: 5m}
aggregations:
  - name: revenue_per_minute
    from: purchase
    where: quantity > 0
    window: {type: tumbling, size: 1m}
    group_by: [category, country]
    measures:
      orders: count()
      revenue: sum(amount)                         # column revenue_cents
      average: avg(amount)
      buyers: distinct(user_id)
      large: count(basket = 'large')
      large_share: large / orders                  # from other measures
    watermark: 10m
    late: correct
    emit: change
  - name: conversion_per_day
    from: [page_view, purchase]                    # several event types; columns by name
    window: {type: calendar, unit: day, timezone: America/New_York}
    group_by: [country]
    measures:
      views: count(event_type = 'page_view')
      orders: count(event_type = 'purchase')
      rate: orders / views
`;

/** The same with more aggregations: a sliding window over an enriched column, and sessions. */
export const ecommerceYaml = `${ecommerce}  - name: brands_per_hour
    from: purchase
    window: {type: sliding, size: 1h, slide: 5m}
    group_by: [brand]
    measures: {typical: 'quantile(amount, 0.5)', first_coupon: first(coupon), dearest: max(amount)}
    late: topic
    emit: close
  - name: visits
    from: page_view
    window: {type: session, gap: 30m}
    group_by: [session_id]
    measures: {pages: distinct(page), entry: first(page), left_from: last(page)}
    late: drop
`;

export const ecommerceFiles = {'lookups/products.csv': 'product_id,brand,list_price\np1,Acme,9.99\n'};
