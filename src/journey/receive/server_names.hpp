// receive/server_names.hpp: one server, several names: keys and certificates by the name that a client asks for.   tls_server_sni_maps, RFC 6066 3
// Keys     the name as it is (A-labels), then each domain above it with a leading dot; the first that is there.
// Values   in base64, as postmap -F stores them, and as the tables give them that are read as text: PEM as in smtpd_tls_chain_files.
// None     the certificates of every other client. An Error of a table, or a value that is no base64: no handshake, the client comes again.
// Secrets  the tables hold private keys: no process but smtpd is given them (services/table_files.hpp).
#pragma once

#include "observe/log.hpp"
#include "tables/maps.hpp"

#include <string>

namespace posthorn::receive {

class ServerNames {
public:
    ServerNames(std::string_view tables, tables::Tables& open, observe::Log log);
    bool empty() const { return maps_.empty(); }
    /// `peer`: "name[addr]", for the log.
    awaitable<Result<std::optional<std::string>>> chain(std::string name, std::string peer) const;

private:
    tables::Maps maps_;
    observe::Log log_;
};

}  // namespace posthorn::receive
