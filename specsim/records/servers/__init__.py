"""What inference servers write about speculative decoding: one file for each family of formats."""

from specsim.records.servers.log import ServerLog, Setting
from specsim.records.servers.reading import FORMATS, read_server_log

__all__ = ["FORMATS", "ServerLog", "Setting", "read_server_log"]
