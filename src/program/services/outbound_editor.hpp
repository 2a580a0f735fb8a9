// services/outbound_editor.hpp: smtp_generic_maps, smtp_header_checks and its kin, smtp_body_checks: what goes out is changed on its way, not in the
// queue.                                                                                            generic(5), header_checks(5)
// Memory   where a check looks behind the header, the message is in memory as a whole.
// Errors   a table that cannot answer defers the delivery. Checks know WARN, INFO, PREPEND, REPLACE, IGNORE, STRIP, DUNNO; others are warned of.
#pragma once

#include "message/mime_stream.hpp"
#include "process/service.hpp"
#include "send/surroundings.hpp"
#include "tables/maps.hpp"
#include "tables/own.hpp"

namespace posthorn::services {

class OutboundEditor final : public send::Editor {
public:
    /// `prefix`: smtp or lmtp.
    OutboundEditor(const config::Snapshot& config, std::string_view prefix, tables::FileOpener& opener, tables::Tables& tables, observe::Log log);
    /// Null: nothing is to be changed.
    send::Editor* get() { return generic_.empty() && header_.empty() && mime_.empty() && nested_.empty() && body_.empty() ? nullptr : this; }

    awaitable<Result<send::Edited>> edit(const handoff::Envelope& envelope, std::string head) override;
    bool wants_body(std::string_view head) const override;
    awaitable<Result<std::optional<std::string>>> edit_body(const handoff::Envelope& envelope, std::string head, std::string body) override;

private:
    Result<std::optional<std::string>> mapped(tables::Lookups& lookups, std::string_view address) const;
    Result<send::Edited> decide(tables::Lookups& lookups, const handoff::Envelope& envelope, const std::string& head,
                                std::vector<std::string>& log) const;
    message::MimeStream stream_behind(std::string_view head) const;
    Result<std::optional<std::string>> decide_body(tables::Lookups& lookups, const std::string& head, const std::string& body,
                                                   std::vector<std::string>& log) const;
    void tell(const handoff::Envelope& envelope, const std::vector<std::string>& log) const;

    tables::OwnOptions own_options_;
    tables::OwnDomains own_;
    tables::Maps generic_, header_, mime_, nested_, body_;
    message::MimeStreamLimits limits_;
    bool mime_input_;
    std::size_t field_limit_, token_limit_;
    bool propagate_;
    observe::Log log_;
};

}  // namespace posthorn::services
