"""Moving bytes from a vendor's HTTP to the landing bucket, and proving them on the way.

links     where a link may lead, and a connection to exactly what was checked
source    opening a file, its failures in our words
verify    what a file must be: gzip to its end, a format of those it knows inside, an error page (`pages`) never
records   what a format's reader is: `csv_records`, `json_records`, and `parquet` with `thrift` for its footer
upload    parts, checksums, one object
land      all of it in one pass

outbound  the other way: stored objects, unpacked and reshaped for a vendor

Nothing is imported here: what goes out does without what lands, which needs awscrt.
"""
