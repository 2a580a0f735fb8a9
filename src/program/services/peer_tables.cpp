#include "services/peer_tables.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "config/site.hpp"
#include "net/address.hpp"
#include "peers/bounce_classes.hpp"
#include "send/params.hpp"
#include "services/table_desk.hpp"
#include "tables/params.hpp"

namespace posthorn::services {

namespace {

constexpr std::string_view own_parameters[] = {send::smtp_discard_ehlo_keyword_address_maps.name,
                                               send::lmtp_discard_lhlo_keyword_address_maps.name,
                                               send::smtp_tls_policy_maps.name,
                                               "lmtp_tls_policy_maps",
                                               send::smtp_tls_trial_maps.name,
                                               send::smtp_requiretls_policy.name,
                                               "lmtp_requiretls_policy",
                                               send::smtp_pix_workaround_maps.name,
                                               "lmtp_pix_workaround_maps",
                                               send::smtp_dns_reply_filter.name,
                                               "lmtp_dns_reply_filter",
                                               send::smtp_reply_filter.name,
                                               "lmtp_reply_filter",
                                               send::default_delivery_status_filter.name,
                                               send::smtp_delivery_status_filter.name,
                                               "lmtp_delivery_status_filter",
                                               send::bounce_classification_maps.name,
                                               send::smtp_generic_maps.name,
                                               "lmtp_generic_maps",
                                               send::smtp_header_checks.name,
                                               "lmtp_header_checks",
                                               send::smtp_mime_header_checks.name,
                                               "lmtp_mime_header_checks",
                                               send::smtp_sasl_password_maps.name,
                                               "lmtp_sasl_password_maps",
                                               send::smtp_sasl_mechanism_filter.name,
                                               "lmtp_sasl_mechanism_filter",
                                               tables::mydestination.name,
                                               tables::myorigin.name,
                                               tables::debug_peer_list.name};

}  // namespace

TableLookup::TableLookup(std::string parameter, std::string_view list, tables::Flags flags, tables::Tables& tables)
    : maps_(std::move(parameter), list, flags, tables)
{
    for (const auto& table : maps_.tables())
        if (const auto broken = table->broken())
            tables.site().log.warning("{}: {}", maps_.parameter(), broken->text());
}

RequireTlsPolicy::RequireTlsPolicy(const std::string& parameter, std::string_view list, tables::Tables& tables)
{
    for (const std::string_view item : config::split_grouped(list)) {
        Item& made = items_.emplace_back();
        if (item.find(':') == item.npos) {
            made.word = item;
            continue;
        }
        made.table = tables::Maps(parameter, item, {}, tables);
        const auto asks_somebody = [](const std::string& leaf) { return leaf.starts_with("tcp:") || leaf.starts_with("socketmap:"); };
        for (const auto& table : made.table.tables()) {
            made.parents = !table->pattern() && std::ranges::none_of(tables::leaves_of(table->name()), asks_somebody);
            if (const auto broken = table->broken())
                tables.site().log.warning("{}: {}", parameter, broken->text());
        }
    }
}

awaitable<Result<std::optional<std::string>>> RequireTlsPolicy::find(std::string key)
{
    const bool name = !net::IpAddress::parse(key).has_value();
    for (const Item& item : items_) {
        if (!item.word.empty())
            co_return item.word;
        const bool asks_parents = item.parents && name;
        for (const std::string_view one : asks_parents ? tables::domain_keys(key, false) : std::vector<std::string_view>{key}) {
            CO_TRY(auto found, co_await item.table.lookup(std::string(one)));
            if (found)
                co_return found;
        }
    }
    co_return std::nullopt;
}

PeerTables::PeerTables(process::Service& service, const Clock& clock)
    : log_(service.log()), files_(TableFiles::fetch(service, own_parameters)), tables_(log_, clock, files_, parameters_of(service.config())),
      own_options_(tables::OwnOptions::from(service.config(), config::this_host("smtp").addresses, *files_)), own_(own_options_, tables_),
      everybody_(service.start_record().verbose() > 0)
{
    const config::Snapshot& config = service.config();
    const auto& param = service.program() == "lmtp" ? send::lmtp_discard_lhlo_keyword_address_maps : send::smtp_discard_ehlo_keyword_address_maps;
    discard_ = tables::Maps(std::string(param.name), config.get(param), {}, tables_);
    for (const auto& table : discard_.tables())
        if (const auto broken = table->broken())
            log_.warning("{}: {}", param.name, broken->text());
    const auto own = [&](const config::Param<std::string>& what) {
        return TableLookup(config::name_as(what.name, service.program() == "lmtp" ? "lmtp" : "smtp"),
                           config.get(what, service.program() == "lmtp" ? "lmtp" : "smtp"), {}, tables_);
    };
    dns_filter_ = own(send::smtp_dns_reply_filter);
    tls_policy_ = own(send::smtp_tls_policy_maps);
    if (service.program() != "lmtp")
        tls_trial_ = own(send::smtp_tls_trial_maps);
    pix_ = own(send::smtp_pix_workaround_maps);
    reply_filter_ = own(send::smtp_reply_filter);
    status_filter_ = own(send::smtp_delivery_status_filter);
    bounce_classes_ = TableLookup(std::string(send::bounce_classification_maps.name),
                                  peers::with_shipped_classes(config.get(send::bounce_classification_maps)), {}, tables_);
    editor_ = std::make_unique<OutboundEditor>(config, service.program() == "lmtp" ? "lmtp" : "smtp", *files_, tables_, log_);
    const std::string_view as = service.program() == "lmtp" ? "lmtp" : "smtp";
    requiretls_policy_ =
        RequireTlsPolicy(config::name_as(send::smtp_requiretls_policy.name, as), config.get(send::smtp_requiretls_policy, as), tables_);
    if (config.get(send::smtp_sasl_auth_enable, as)) {
        passwords_ = tables::Maps(config::name_as(send::smtp_sasl_password_maps.name, as), config.get(send::smtp_sasl_password_maps, as),
                                  own_options_.flags, tables_);
        for (const auto& table : passwords_.tables())
            if (const auto broken = table->broken())
                log_.warning("{}: {}", passwords_.parameter(), broken->text());
    }
    mechanisms_ = tables::MatchList(tables::ListKind::strings, config::name_as(send::smtp_sasl_mechanism_filter.name, as),
                                    config.get(send::smtp_sasl_mechanism_filter, as), false, tables_);
    debugged_ = tables::MatchList(tables::ListKind::hosts, "debug_peer_list", config.get(tables::debug_peer_list),
                                  tables::parent_style(config.get(tables::parent_domain_matches_subdomains), "debug_peer_list"), tables_);
}

awaitable<Result<std::optional<std::string>>> PeerTables::by_sender(std::string sender)
{
    const auto found =
        co_await tables::settle([&](tables::Lookups& lookups) { return passwords_.find_address(lookups, sender, own_options_.delimiter, &own_); });
    if (!found)
        co_return found.error();
    if (const auto& entry = *found)
        co_return entry->value;
    co_return std::nullopt;
}

awaitable<Result<std::optional<std::string>>> PeerTables::by_server(std::string host, std::string next_hop)
{
    auto found = co_await passwords_.lookup(std::move(host));
    if (found && !*found)
        found = co_await passwords_.lookup(std::move(next_hop));
    co_return found;
}

awaitable<Result<bool>> PeerTables::allows(std::string mechanism)
{
    if (mechanisms_.empty())
        co_return true;
    co_return co_await mechanisms_.ask(std::move(mechanism));
}

std::vector<std::string> PeerTables::trust_anchor_files() const
{
    std::vector<std::string> files;
    for (const TableLookup* const lookup : {&tls_policy_, &tls_trial_})
        for (const auto& table : lookup->tables())
            (void)table->visit([&](std::string_view, std::string_view value) {
                for (const std::string_view word : split(value, ", \t\r\n"))
                    if (istarts_with(word, "tafile="))
                        files.emplace_back(word.substr(word.find('=') + 1));
            });
    return files;
}

awaitable<bool> PeerTables::listed(std::string name, std::string address)
{
    if (everybody_)
        co_return true;
    const auto found = co_await debugged_.ask(std::move(name), std::move(address));
    co_return found.has_value() && *found;
}

}  // namespace posthorn::services
