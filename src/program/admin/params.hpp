// admin/params.hpp: the service that operators, monitoring and dashboards ask over HTTP. For the one `admin` line of master.cf; -o options count.
#pragma once

#include "config/param.hpp"

namespace posthorn::admin {

using config::Param;

inline constexpr Param<config::List> admin_clients{
    .name = "admin_clients",
    .initial = "127.0.0.0/8, [::1]/128",
    .doc =
        "Who may ask the admin service over TCP: addresses and networks, the first that matches counts, !network for who may not. On a Unix socket, "
        "who can open it.",
    .own = true};
inline constexpr Param<config::List> admin_hosts{
    .name = "admin_hosts",
    .initial = "localhost, $myhostname",
    .doc = "Names and addresses that the admin service is called by, beside the address that it was reached at: a request with another Host is "
           "refused, so that no web page can have a browser ask it under a name of its own.",
    .own = true};
inline constexpr Param<std::string> admin_token_file{
    .name = "admin_token_file",
    .initial = "",
    .doc =
        "A file with a token of at least 16 characters (it may be root's, mode 0600). What changes the queue needs it, as \"Authorization: Bearer\"; "
        "without a file nothing can be changed over HTTP.",
    .own = true};
inline constexpr Param<int> admin_connection_limit{
    .name = "admin_connection_limit", .initial = "50", .least = 1, .most = 10000, .doc = "Connections to the admin service at once.", .own = true};
inline constexpr Param<config::Octets> admin_header_size_limit{.name = "admin_header_size_limit",
                                                               .initial = "16384",
                                                               .least = {1024},
                                                               .doc = "The largest request line with header that the admin service reads.",
                                                               .own = true};
inline constexpr Param<config::Octets> admin_body_size_limit{
    .name = "admin_body_size_limit", .initial = "65536", .doc = "The largest request body that the admin service reads.", .own = true};
inline constexpr Param<std::chrono::seconds> admin_timeout{
    .name = "admin_timeout",
    .initial = "30s",
    .least = std::chrono::seconds{1},
    .doc = "How long a request may take to arrive, an answer to be taken, and a connection to say nothing.",
    .own = true};

inline constexpr config::ParamInfo params[] = {admin_clients,           admin_hosts,           admin_token_file, admin_connection_limit,
                                               admin_header_size_limit, admin_body_size_limit, admin_timeout};

}  // namespace posthorn::admin
