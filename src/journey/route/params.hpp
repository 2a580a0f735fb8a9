// route/params.hpp: what decides where mail goes.                           trivial-rewrite(8), ADDRESS_CLASS_README
#pragma once

#include "config/param.hpp"

namespace posthorn::route {

using config::Param;
using config::ParamInfo;

inline constexpr Param<std::string> virtual_alias_domains{
    .name = "virtual_alias_domains", .initial = "$virtual_alias_maps", .doc = "Domains all of whose addresses are aliases of addresses elsewhere."};
inline constexpr Param<std::string> virtual_mailbox_domains{
    .name = "virtual_mailbox_domains", .initial = "$virtual_mailbox_maps", .doc = "Domains whose mail is delivered by virtual_transport."};
inline constexpr Param<std::string> relay_domains{.name = "relay_domains",
                                                  .initial = "${{$compatibility_level} <level {2} ? {$mydestination} : {}}",
                                                  .doc = "Domains of others for which this machine takes mail, by relay_transport."};
inline constexpr Param<std::string> local_recipient_maps{.name = "local_recipient_maps",
                                                         .initial = "proxy:unix:passwd.byname $alias_maps",
                                                         .doc = "Tables with all addresses of mydestination; empty: every one is taken."};
inline constexpr Param<std::string> relay_recipient_maps{
    .name = "relay_recipient_maps", .initial = "", .doc = "Tables with all addresses of relay_domains; empty: every one is taken."};
inline constexpr Param<std::string> virtual_mailbox_maps{
    .name = "virtual_mailbox_maps", .initial = "", .doc = "Tables with all addresses of virtual_mailbox_domains; empty: every one is taken."};
inline constexpr Param<std::string> default_filter_nexthop{
    .name = "default_filter_nexthop",
    .initial = "",
    .doc = "The next hop of a content_filter or FILTER that names none; empty: the domain of the recipient."};
inline constexpr Param<config::List> report_addresses{
    .name = "report_addresses",
    .initial = "",
    .doc =
        "Addresses that other domains are asked to send their daily reports to (rua= of _dmarc and _smtp._tls): mail for them is read by this machine, whatever "
        "other tables say of the address, which exists; posthorn reports received tells what it says. Their domains have to be ones that this machine takes mail for.",
    .own = true};
inline constexpr Param<std::string> relocated_maps{
    .name = "relocated_maps", .initial = "", .doc = "Tables with new addresses of users who have moved: the sender is told (5.1.6)."};
inline constexpr Param<bool> relocated_prefix_enable{
    .name = "relocated_prefix_enable", .initial = "yes", .doc = "Put \"5.1.6 User has moved to \" before what relocated_maps say."};
inline constexpr Param<bool> resolve_dequoted_address{
    .name = "resolve_dequoted_address", .initial = "yes", .doc = "Look for @ % ! inside of a quoted local part as well."};
inline constexpr Param<bool> resolve_null_domain{
    .name = "resolve_null_domain", .initial = "no", .doc = "Read \"user@\" as a local address; else it is an error."};
inline constexpr Param<bool> resolve_numeric_domain{
    .name = "resolve_numeric_domain", .initial = "no", .doc = "Read user@192.0.2.1 as user@[192.0.2.1]; else it is an error."};
inline constexpr Param<bool> show_user_unknown_table_name{
    .name = "show_user_unknown_table_name", .initial = "yes", .doc = "Say in which table a user was not found."};
inline constexpr Param<std::string> empty_address_recipient{
    .name = "empty_address_recipient", .initial = "MAILER-DAEMON", .least = 1, .doc = "Who gets mail for the null address."};
inline constexpr Param<std::string> empty_address_relayhost_maps_lookup_key{.name = "empty_address_relayhost_maps_lookup_key",
                                                                            .initial = "<>",
                                                                            .least = 1,
                                                                            .doc = "The key for the null sender in sender_dependent_relayhost_maps."};
inline constexpr Param<std::string> empty_address_default_transport_maps_lookup_key{
    .name = "empty_address_default_transport_maps_lookup_key",
    .initial = "<>",
    .least = 1,
    .doc = "The key for the null sender in sender_dependent_default_transport_maps."};
inline constexpr Param<std::string> error_service_name{
    .name = "error_service_name", .initial = "error", .least = 1, .doc = "The service of master.cf that returns mail."};

// By class, then what overrides it. Probes read the address_verify_ twin, whose default is the parameter itself.
inline constexpr Param<std::string> local_transport{
    .name = "local_transport", .initial = "local:$myhostname", .least = 1, .doc = "transport:nexthop for mydestination."};
inline constexpr Param<std::string> virtual_transport{
    .name = "virtual_transport", .initial = "virtual", .least = 1, .doc = "transport:nexthop for virtual_mailbox_domains."};
inline constexpr Param<std::string> relay_transport{
    .name = "relay_transport", .initial = "relay", .least = 1, .doc = "transport:nexthop for relay_domains."};
inline constexpr Param<std::string> default_transport{
    .name = "default_transport", .initial = "smtp", .least = 1, .doc = "transport:nexthop for everything else."};
inline constexpr Param<std::string> relayhost{
    .name = "relayhost", .initial = "", .doc = "The next hop for mail that is not ours: host, [host], host:port, or a list."};
inline constexpr Param<std::string> transport_maps{
    .name = "transport_maps", .initial = "", .doc = "Tables with transport:nexthop by address or domain; they override the others."};
inline constexpr Param<std::string> sender_dependent_relayhost_maps{
    .name = "sender_dependent_relayhost_maps", .initial = "", .doc = "Tables with a relayhost by sender address or @domain."};
inline constexpr Param<std::string> sender_dependent_default_transport_maps{
    .name = "sender_dependent_default_transport_maps", .initial = "", .doc = "Tables with a default_transport by sender address or @domain."};
inline constexpr Param<std::string> retry_schedule_maps{
    .name = "retry_schedule_maps",
    .initial = "",
    .doc = "Tables with times of their own by recipient (as in transport_maps) or by transport (\"transport:NAME\"): "
           "maximal_queue_lifetime=10d, maximal_backoff_time=1h and the like, with the names of main.cf.",
    .own = true};
inline constexpr Param<config::List> pooled_transports{
    .name = "pooled_transports",
    .initial = "",
    .doc =
        "Names that stand for several transports of master.cf, wherever a transport is named: { NAME, TRANSPORT=WEIGHT, ... }. Each message to a destination "
        "goes by one of them, at each try by the same; where that one is held back there, by another.",
    .own = true};
inline constexpr Param<std::string> address_verify_local_transport{
    .name = "address_verify_local_transport", .initial = "$local_transport", .least = 1, .doc = "local_transport for address probes."};
inline constexpr Param<std::string> address_verify_virtual_transport{
    .name = "address_verify_virtual_transport", .initial = "$virtual_transport", .least = 1, .doc = "virtual_transport for address probes."};
inline constexpr Param<std::string> address_verify_relay_transport{
    .name = "address_verify_relay_transport", .initial = "$relay_transport", .least = 1, .doc = "relay_transport for address probes."};
inline constexpr Param<std::string> address_verify_default_transport{
    .name = "address_verify_default_transport", .initial = "$default_transport", .least = 1, .doc = "default_transport for address probes."};
inline constexpr Param<std::string> address_verify_relayhost{
    .name = "address_verify_relayhost", .initial = "$relayhost", .doc = "relayhost for address probes."};
inline constexpr Param<std::string> address_verify_transport_maps{
    .name = "address_verify_transport_maps", .initial = "$transport_maps", .doc = "transport_maps for address probes."};
inline constexpr Param<std::string> address_verify_sender_dependent_relayhost_maps{.name = "address_verify_sender_dependent_relayhost_maps",
                                                                                   .initial = "$sender_dependent_relayhost_maps",
                                                                                   .doc = "sender_dependent_relayhost_maps for address probes."};
inline constexpr Param<std::string> address_verify_sender_dependent_default_transport_maps{
    .name = "address_verify_sender_dependent_default_transport_maps",
    .initial = "$sender_dependent_default_transport_maps",
    .doc = "sender_dependent_default_transport_maps for address probes."};

inline constexpr ParamInfo params[] = {retry_schedule_maps,
                                       pooled_transports,
                                       virtual_alias_domains,
                                       virtual_mailbox_domains,
                                       relay_domains,
                                       local_recipient_maps,
                                       relay_recipient_maps,
                                       virtual_mailbox_maps,
                                       default_filter_nexthop,
                                       report_addresses,
                                       relocated_maps,
                                       relocated_prefix_enable,
                                       resolve_dequoted_address,
                                       resolve_null_domain,
                                       resolve_numeric_domain,
                                       show_user_unknown_table_name,
                                       empty_address_recipient,
                                       empty_address_relayhost_maps_lookup_key,
                                       empty_address_default_transport_maps_lookup_key,
                                       error_service_name,
                                       local_transport,
                                       virtual_transport,
                                       relay_transport,
                                       default_transport,
                                       relayhost,
                                       transport_maps,
                                       sender_dependent_relayhost_maps,
                                       sender_dependent_default_transport_maps,
                                       address_verify_local_transport,
                                       address_verify_virtual_transport,
                                       address_verify_relay_transport,
                                       address_verify_default_transport,
                                       address_verify_relayhost,
                                       address_verify_transport_maps,
                                       address_verify_sender_dependent_relayhost_maps,
                                       address_verify_sender_dependent_default_transport_maps};

}  // namespace posthorn::route
