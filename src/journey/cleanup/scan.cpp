#include "cleanup/chain.hpp"

#include "base/strings.hpp"
#include "handoff/requiretls_field.hpp"

#include <fmt/format.h>

namespace posthorn::cleanup {

namespace {

/// Longer ones are cut for the log and the envelope; the field itself stays.
constexpr std::size_t message_id_octets = 1000;

/// How much of a field is within the limit, where each line end counts one octet and the last one none.
std::size_t octets_within(std::string_view field, std::size_t limit)
{
    if (field.size() <= limit)
        return field.size();
    std::size_t counted = 0, at = 0;
    for (; at < field.size(); ++at) {
        const bool cr = field[at] == '\r' && field.substr(at, 2) == "\r\n";
        if (cr && at + 2 == field.size())
            return field.size();
        if (counted == limit)
            return at;
        counted += cr ? 0 : 1;
    }
    return at;
}

void note_message_id(Draft& draft, const message::Field& field, std::string_view prefix)
{
    std::string id = message::unfold(field.body, message_id_octets);
    draft.log.push_back(fmt::format("{}message-id={}", prefix, id));
    if (prefix.empty() && draft.envelope.message_id().empty())
        draft.envelope.set_message_id(std::move(id));
}

bool says(const message::Field& field, std::string_view word) { return iequals(trim(message::unfold(field.body, message_id_octets)), word); }

}  // namespace

Step scan(Draft& draft, const Options& options)
{
    std::size_t hops = 0;
    bool tls_optional = false;
    draft.envelope.clear_message_id();
    message::HeaderWalk walk(draft.head);
    while (const auto field = walk.next()) {
        if (const std::size_t kept = octets_within(field->whole, options.header_size_limit);
            kept < field->whole.size() && !is_dropped(*field, options) && !is_schedule(draft, *field, options)) {
            // Cut within the last line that still fits; what is kept of it ends as a line.
            draft.edits.replace(field->offset + kept, field->whole.size() - kept, "\r\n");
        }
        draft.resent |= message::is_resent(field->name);
        if (field->is("Received"))
            ++hops;
        else if (field->is("From"))
            draft.from = true;
        else if (field->is("Date"))
            draft.date = true;
        else if (field->is("To") || field->is("Cc") || field->is("Resent-To") || field->is("Resent-Cc"))
            draft.visible_recipient = true;
        else if (field->is(handoff::requiretls_field_name))
            draft.requiretls_field = draft.requiretls_field || says(*field, "yes");
        else if (field->is(handoff::tls_required_field_name))
            tls_optional = tls_optional || says(*field, "no");
        else if (field->is("Resent-From"))
            draft.resent_from = true;
        else if (field->is("Resent-Date"))
            draft.resent_date = true;
        else if (field->is("Message-ID")) {
            draft.message_id = true;
            note_message_id(draft, *field, "");
        } else if (field->is("Resent-Message-ID")) {
            draft.resent_message_id = true;
            note_message_id(draft, *field, "resent-");
        }
    }
    draft.header_size = walk.header_size();
    draft.body_offset = walk.body_offset();
    draft.has_separator = walk.end() != message::HeaderEnd::no_field;
    if (draft.requiretls_field && options.requiretls_header)
        draft.envelope.set_requiretls(true);
    draft.envelope.set_tls_optional(tls_optional && options.tls_required && !draft.envelope.requiretls());              // RFC 8689 4.1
    draft.envelope.set_hops(static_cast<std::uint32_t>(hops));
    if (hops >= options.hopcount_limit)
        return Refusal{554, "5.4.6", "Error: too many hops"};
    return std::nullopt;
}

Result<bool> is_among(const LocalClients& clients, const tables::Maps& tables, const handoff::Client& client, const Asked& asked, Lookups& lookups)
{
    bool yes = client.address().empty() || client.protocol() == handoff::qmqp_protocol ||
               (clients.sasl_authenticated && !client.sasl_username().empty()) ||
               (clients.inet_interfaces && asked.own.own_address(client.address()));
    if (!yes && clients.mynetworks) {
        TRY(yes, asked.mynetworks.matches_host(lookups, client.name(), client.address()));
    }
    if (!yes && !tables.empty()) {
        TRY(const auto found, tables.find(lookups, client.address()));
        yes = found.has_value();
    }
    return yes;
}

Step judge_client(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
{
    const std::string& source = draft.envelope.origin().source();        // who may say so is believed
    if (options.judged) {
        draft.local_client = draft.envelope.local_header();
    } else if (source.empty()) {
        TRY(draft.local_client, is_among(options.local_clients, asked.local_clients, draft.envelope.client(), asked, lookups));
    } else {
        draft.local_client = source == "LOCAL";
    }
    draft.envelope.set_local_header(draft.local_client);
    return std::nullopt;
}

}  // namespace posthorn::cleanup
