-- What `GET /readyz` writes, to know whether an order could be written: a new file each time, however full the disk is.
CREATE TABLE write_probes (at timestamptz NOT NULL);
-- Why no order of this worker's would be executed now, if that is so; told with each renewal of its lease.
ALTER TABLE workers ADD COLUMN trouble text;
