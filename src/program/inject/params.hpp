// inject/params.hpp: the service that takes mail over HTTP. For the `inject` lines of master.cf; -o options count, those of smtpd as well.
#pragma once

#include "config/param.hpp"

namespace posthorn::inject {

using config::Param;

inline constexpr Param<config::List> inject_clients{
    .name = "inject_clients",
    .initial = "127.0.0.0/8, [::1]/128",
    .doc = "Who may inject mail over HTTP: addresses and networks, the first that matches counts, !network for who may not. The restrictions of the "
           "SMTP server come on top. On a Unix socket, who can open it.",
    .own = true};
inline constexpr Param<config::List> inject_hosts{
    .name = "inject_hosts",
    .initial = "localhost, $myhostname",
    .doc = "Names and addresses that the service inject is called by, beside the address that it was reached at: a request with another Host is "
           "refused, so that no web page can have a browser inject mail under a name of its own.",
    .own = true};
inline constexpr Param<std::string> inject_token_file{
    .name = "inject_token_file",
    .initial = "",
    .doc =
        "A file with a token of at least 16 characters (it may be root's, mode 0600). Where it is set, who injects mail over HTTP says the token "
        "(\"Authorization: Bearer\"), or the name and password of a user (\"Authorization: Basic\"); where the file cannot be used, nobody has the "
        "token. Without a file, addresses alone decide.",
    .own = true};
inline constexpr Param<int> inject_connection_limit{
    .name = "inject_connection_limit", .initial = "100", .least = 1, .most = 10000, .doc = "Connections to the service inject at once.", .own = true};
inline constexpr Param<config::Octets> inject_body_size_limit{
    .name = "inject_body_size_limit",
    .initial = "20480000",
    .least = {1024},
    .doc = "The largest request body that the service inject reads. Attachments come in base64, which takes a third more: at least four thirds of "
           "message_size_limit.",
    .own = true};
inline constexpr Param<std::chrono::seconds> inject_timeout{
    .name = "inject_timeout",
    .initial = "300s",
    .least = std::chrono::seconds{1},
    .doc = "How long a request to the service inject may take to arrive, an answer to be taken, and a connection to say nothing.",
    .own = true};

inline constexpr config::ParamInfo params[] = {inject_clients,          inject_hosts,           inject_token_file,
                                               inject_connection_limit, inject_body_size_limit, inject_timeout};

}  // namespace posthorn::inject
