#include "cleanup/cleaner.hpp"

namespace posthorn::cleanup {

Asked::Asked(const Options& options, tables::Tables& tables)
    : own(options.own, tables), virtual_alias_maps("virtual_alias_maps", options.virtual_alias_maps, options.own.flags, tables),
      mynetworks(tables::ListKind::hosts, "mynetworks", options.mynetworks, options.mynetworks_parent_style, tables),
      local_clients("local_header_rewrite_clients", options.local_clients.tables, options.own.flags, tables),
      signed_clients("dkim_sign_clients", options.signed_clients.tables, options.own.flags, tables),
      exempt_clients("mailauth_exempt_clients", options.exempt_clients.tables, options.own.flags, tables), checks(options.checks, tables),
      canonical("canonical_maps", options.canonical_maps, options.own.flags, tables),
      sender_canonical("sender_canonical_maps", options.sender_canonical_maps, options.own.flags, tables),
      recipient_canonical("recipient_canonical_maps", options.recipient_canonical_maps, options.own.flags, tables),
      sender_bcc("sender_bcc_maps", options.sender_bcc_maps, options.own.flags, tables),
      recipient_bcc("recipient_bcc_maps", options.recipient_bcc_maps, options.own.flags, tables),
      masquerade_exceptions(tables::ListKind::strings, "masquerade_exceptions", options.masquerade_exceptions, false, tables)
{
}

Cleaner::Cleaner(Options options, tables::Tables& tables, observe::Log log)
    : options_(std::move(options)), asked_(options_, tables), log_(std::move(log))
{
}

namespace {

/// What is done to every message, in this order; the first that refuses ends it.
using Link = Step (*)(Draft&, const Options&, const Asked&, Lookups&);
constexpr auto chain = std::to_array<Link>({
    rewrite_envelope,
    inspect,
    [](Draft& draft, const Options& options, const Asked&, Lookups&) -> Step { return scan(draft, options); },
    [](Draft& draft, const Options&, const Asked&, Lookups&) -> Step {
        if (draft.findings.refusal && draft.log.empty())
            draft.log.emplace_back("message-id=<>");
        return draft.findings.refusal;
    },
    judge_client,
    [](Draft& draft, const Options& options, const Asked&, Lookups&) -> Step { return drop_fields(draft, options); },
    [](Draft& draft, const Options& options, const Asked&, Lookups&) -> Step { return take_schedule(draft, options); },
    rewrite_header,
    [](Draft& draft, const Options& options, const Asked&, Lookups&) -> Step {
        note_findings(draft.envelope, draft.findings, options);
        return std::nullopt;
    },
    add_copies,
    [](Draft& draft, const Options& options, const Asked& asked, Lookups& lookups) -> Step {
        auto refused = expand_aliases(draft, options, asked, lookups);
        if (refused && *refused)                                 // Postfix asks before it has seen the header
            std::erase_if(draft.log, [](const std::string& line) { return !line.starts_with("warning: "); });
        return refused;
    },
    [](Draft& draft, const Options& options, const Asked&, Lookups&) -> Step { return add_missing(draft, options); },
    [](Draft& draft, const Options& options, const Asked&, Lookups&) -> Step { return detect_utf8(draft, options); },
});

}  // namespace

/// `client` is of the envelope, which is copied for each round: no link changes it, so the draft has it, and gives it back where one more round
/// is needed.
Result<Cleaner::Outcome> Cleaner::decide(Lookups& lookups, const handoff::Envelope& envelope, std::unique_ptr<handoff::Client>& client,
                                         const std::string& head) const
{
    Outcome outcome{{}, std::make_unique<Draft>(envelope, head)};
    handoff::Envelope& drafted = outcome.draft->envelope;
    drafted.set_allocated_client(client.release());
    const auto follow = [&]() -> Result<void> {
        for (const Link link : chain) {
            TRY(outcome.refusal, link(*outcome.draft, options_, asked_, lookups));
            if (outcome.refusal)
                break;
        }
        return {};
    };
    auto followed = follow();
    if (lookups.waiting())
        client.reset(drafted.release_client());
    if (!followed)
        return std::move(followed).error();
    return outcome;
}

awaitable<std::expected<handoff::Cleaned, Refusal>> Cleaner::clean(handoff::Envelope envelope, std::string head)
{
    const std::string queue_id = envelope.queue_id();
    std::unique_ptr<handoff::Client> client(envelope.release_client());
    auto outcome = co_await tables::settle([&](Lookups& lookups) { return decide(lookups, envelope, client, head); });
    if (!outcome) {
        log_.warning("{}: {} -- message not accepted, try again later", queue_id, outcome.error().what());
        co_return std::unexpected(Refusal{451, "4.3.0", "Error: queue file write error"});
    }
    Outcome& done = *outcome;
    Draft& draft = *done.draft;
    log_findings(queue_id, draft.findings);
    for (const std::string& line : draft.log) {
        if (line.starts_with("warning: "))
            log_.warning("{}: {}", queue_id, line.substr(9));
        else
            log_.info("{}: {}", queue_id, line);
    }
    if (done.refusal)
        co_return std::unexpected(*std::move(done.refusal));
    std::unique_ptr<BodyCheck> body;
    std::string begun;                                           // of the body, which came with the head
    if (BodyCheck::wanted(draft, options_, asked_)) {
        body = std::make_unique<BodyCheck>(*this, draft);
        begun = draft.head.substr(draft.body_offset);
        draft.head.resize(draft.body_offset);
    }
    handoff::Cleaned cleaned(std::move(draft.envelope), draft.edits.empty() ? std::move(draft.head) : draft.edits.apply(draft.head));
    cleaned.discard = draft.findings.discard;
    if (!begun.empty()) {
        auto checked = co_await body->clean(std::move(begun), false);
        if (!checked)
            co_return std::unexpected(std::move(checked).error());
        cleaned.head += *checked;
    }
    cleaned.body = std::move(body);
    co_return cleaned;
}

awaitable<Result<bool>> Cleaner::local_client(handoff::Client client)
{
    co_return co_await tables::settle(
        [this, &client](Lookups& lookups) { return is_among(options_.local_clients, asked_.local_clients, client, asked_, lookups); });
}

awaitable<Result<bool>> Cleaner::signed_client(handoff::Client client, handoff::Origin origin)
{
    if (!origin.address().empty()) {                              // it came from there, whoever brings it
        client.Clear();
        client.set_name(origin.name());
        client.set_address(origin.address());
    } else if (!origin.source().empty()) {
        co_return origin.source() == "LOCAL";
    }
    co_return co_await tables::settle(
        [this, &client](Lookups& lookups) { return is_among(options_.signed_clients, asked_.signed_clients, client, asked_, lookups); });
}

awaitable<Result<bool>> Cleaner::exempt_client(handoff::Client client)
{
    co_return co_await tables::settle(
        [this, &client](Lookups& lookups) { return is_among(options_.exempt_clients, asked_.exempt_clients, client, asked_, lookups); });
}

void Cleaner::log_findings(const std::string& queue_id, Findings& findings) const
{
    for (const std::string& line : std::exchange(findings.warnings, {}))
        log_.warning("{}: {}", queue_id, line);
    for (const std::string& line : std::exchange(findings.log, {}))
        log_.info("{}: {}", queue_id, line);
}

awaitable<std::expected<handoff::Envelope, Refusal>> Cleaner::rewritten(handoff::Envelope envelope) const
{
    const auto decided = co_await tables::settle([this, &envelope](Lookups& lookups) -> Result<Outcome> {
        Outcome outcome{{}, std::make_unique<Draft>(envelope, std::string{})};
        TRY(outcome.refusal, rewrite_envelope(*outcome.draft, options_, asked_, lookups));
        if (!outcome.refusal) {
            TRY(outcome.refusal, expand_aliases(*outcome.draft, options_, asked_, lookups));
        }
        return outcome;
    });
    if (!decided) {
        log_.warning("{}: {} -- message not accepted, try again later", envelope.queue_id(), decided.error().what());
        co_return std::unexpected(Refusal{451, "4.3.0", "Error: queue file write error"});
    }
    const Outcome& done = *decided;
    for (const std::string& line : done.draft->log)
        log_.warning("{}: {}", envelope.queue_id(), line.starts_with("warning: ") ? line.substr(9) : line);
    if (done.refusal)
        co_return std::unexpected(*done.refusal);
    co_return std::move(done.draft->envelope);
}

awaitable<Result<std::vector<std::string>>> Cleaner::expanded(std::string address)
{
    handoff::Envelope envelope;
    envelope.add_recipients()->set_address(std::move(address));
    const auto decided = co_await tables::settle([this, &envelope](Lookups& lookups) -> Result<Outcome> {
        Outcome outcome{{}, std::make_unique<Draft>(envelope, std::string{})};
        TRY(outcome.refusal, rewrite_envelope(*outcome.draft, options_, asked_, lookups));
        if (!outcome.refusal) {
            TRY(outcome.refusal, expand_aliases(*outcome.draft, options_, asked_, lookups));
        }
        return outcome;
    });
    if (!decided)
        co_return decided.error();
    const Outcome& done = *decided;
    for (const std::string& line : done.draft->log)
        log_.warning("{}", line.starts_with("warning: ") ? line.substr(9) : line);
    if (done.refusal)
        co_return Error{done.refusal->text, done.refusal->status};
    std::vector<std::string> addresses;
    for (const handoff::Recipient& recipient : done.draft->envelope.recipients())
        addresses.push_back(recipient.address());
    co_return addresses;
}

}  // namespace posthorn::cleanup
