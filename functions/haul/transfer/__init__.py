"""Moving bytes from a vendor's HTTP to the landing bucket, and proving them on the way.

links     where a link may lead, and a connection to exactly what was checked
source    opening a file, its failures in our words
verify    what a file must be: gzip to its end, an error page never; `csv_records` counts what is inside
upload    parts, checksums, one object
land      all of it in one pass
"""

from haul.transfer.land import Tuning, land_file

__all__ = ["Tuning", "land_file"]
