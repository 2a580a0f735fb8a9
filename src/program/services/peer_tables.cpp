#include "services/peer_tables.hpp"

#include "send/params.hpp"
#include "tables/params.hpp"

namespace posthorn::services {

namespace {
constexpr std::string_view own_parameters[] = {send::smtp_discard_ehlo_keyword_address_maps.name, send::lmtp_discard_lhlo_keyword_address_maps.name,
                                               tables::debug_peer_list.name};
}  // namespace

PeerTables::PeerTables(process::Service& service, const Clock& clock)
    : log_(service.log()), tables_(log_, clock, TableFiles::fetch(service, own_parameters)), everybody_(service.start_record().verbose() > 0)
{
    const config::Snapshot& config = service.config();
    const auto& param = service.program() == "lmtp" ? send::lmtp_discard_lhlo_keyword_address_maps : send::smtp_discard_ehlo_keyword_address_maps;
    discard_ = tables::Maps(std::string(param.name), config.get(param), {}, tables_);
    for (const auto& table : discard_.tables())
        if (const auto broken = table->broken())
            log_.warning("{}: {}", param.name, broken->text());
    debugged_ = tables::MatchList(tables::ListKind::hosts, "debug_peer_list", config.get(tables::debug_peer_list),
                                  tables::parent_style(config.get(tables::parent_domain_matches_subdomains), "debug_peer_list"), tables_);
}

awaitable<bool> PeerTables::listed(std::string name, std::string address)
{
    if (everybody_)
        co_return true;
    const auto found = co_await debugged_.ask(std::move(name), std::move(address));
    if (!found)
        log_.warning("debug_peer_list: {}", found.error().text());
    co_return found.has_value() && *found;
}

}  // namespace posthorn::services
