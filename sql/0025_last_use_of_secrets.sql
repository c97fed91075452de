-- While a key is rotated, the operator must see which of its two secrets is still used. A key's last use is the latest of
-- its secrets.
ALTER TABLE api_key_secrets ADD COLUMN last_used_at timestamptz;
ALTER TABLE api_keys DROP COLUMN last_used_at;
