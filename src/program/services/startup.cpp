#include "services/startup.hpp"

namespace posthorn::services {

tls::Options tls_for_https(const config::Snapshot& snapshot)
{
    const tls::Options site = tls::client_options(snapshot, true, "smtp");
    tls::Options made;
    made.ca_file = site.ca_file;
    made.ca_path = site.ca_path;
    made.default_ca = true;
    made.protocols = ">=TLSv1.2";
    return made;
}

}  // namespace posthorn::services
