#include "route/options.hpp"

#include "base/strings.hpp"
#include "route/params.hpp"
#include "tables/params.hpp"

namespace posthorn::route {

namespace {

std::vector<std::string> lower_words(std::string_view text)
{
    std::vector<std::string> words;
    for (const std::string_view word : split(text, ", \t\r\n"))
        words.push_back(to_lower(word));
    return words;
}

}  // namespace

Options Options::from(const config::Snapshot& snapshot, std::span<const config::HostAddress> interfaces, tables::FileOpener& opener)
{
    const auto get = [&](const auto& param) { return snapshot.get(param); };
    return {
        .own = tables::OwnOptions::from(snapshot, interfaces, opener),
        .mail = {get(local_transport), get(virtual_transport), get(relay_transport), get(default_transport), get(relayhost), get(transport_maps),
                 get(sender_dependent_relayhost_maps), get(sender_dependent_default_transport_maps)},
        .probe = {get(address_verify_local_transport), get(address_verify_virtual_transport), get(address_verify_relay_transport),
                  get(address_verify_default_transport), get(address_verify_relayhost), get(address_verify_transport_maps),
                  get(address_verify_sender_dependent_relayhost_maps), get(address_verify_sender_dependent_default_transport_maps)},
        .virtual_alias_domains = get(route::virtual_alias_domains),
        .virtual_alias_maps = get(tables::virtual_alias_maps),
        .virtual_mailbox_domains = get(route::virtual_mailbox_domains),
        .relay_domains = get(route::relay_domains),
        .local_recipient_maps = get(route::local_recipient_maps),
        .relay_recipient_maps = get(route::relay_recipient_maps),
        .virtual_mailbox_maps = get(route::virtual_mailbox_maps),
        .canonical_maps = get(tables::canonical_maps),
        .recipient_canonical_maps = get(tables::recipient_canonical_maps),
        .filter_nexthop = get(default_filter_nexthop),
        .hostname = snapshot.text("myhostname"),
        .relocated_maps = get(route::relocated_maps),
        .retry_schedule_maps = get(route::retry_schedule_maps),
        .mynetworks = snapshot.text("mynetworks"),
        .parent_domain_matches_subdomains = get(tables::parent_domain_matches_subdomains),
        .report_addresses = lower_words(snapshot.text(route::report_addresses.name)),
        .relocated_prefix = get(relocated_prefix_enable),
        .percent_hack = get(tables::allow_percent_hack),
        .swap_bangpath = get(tables::swap_bangpath),
        .dequoted = get(resolve_dequoted_address),
        .null_domain = get(resolve_null_domain),
        .numeric_domain = get(resolve_numeric_domain),
        .show_table_name = get(show_user_unknown_table_name),
        .empty_recipient = get(empty_address_recipient),
        .empty_relayhost_key = get(empty_address_relayhost_maps_lookup_key),
        .empty_transport_key = get(empty_address_default_transport_maps_lookup_key),
        .error_service = get(error_service_name),
    };
}

}  // namespace posthorn::route
