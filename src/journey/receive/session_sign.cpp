// As the last thing before it is stored, what is received from our own is signed (DKIM), and what strangers send is sealed (ARC).
#include "mailauth/arc_sets.hpp"
#include "mailauth/hash_body.hpp"
#include "milter/mail.hpp"
#include "receive/session.hpp"

namespace posthorn::receive {

bool Session::may_be_signed() const { return core_.outside.signer != nullptr && (core_.options.signed_body || transaction_->sealing); }

/// What should be signed and cannot be now is refused for now: unsigned, it may be refused for good where it goes.
awaitable<void> Session::sign(Content& content)
{
    const handoff::Envelope& envelope = content.envelope();
    const std::string queue_id = envelope.queue_id();
    bool ours = false;
    if (core_.options.signed_body) {
        const auto asked = co_await core_.outside.cleaner.signed_client(envelope.client(), envelope.origin());
        if (!asked)
            co_return leave_unsigned(content, asked.error());
        ours = *asked;
    }
    if (!ours && !transaction_->sealing)
        co_return;
    const mailauth::Canonical body = ours ? *core_.options.signed_body : transaction_->sealing->body;
    Ceiling::Share share(core_.ceiling);
    auto loaded =
        co_await milter::Mail::load(content.stored(), [&content](std::uint64_t offset, std::size_t most) { return content.read(offset, most); }, 0);
    if (!loaded)
        co_return leave_unsigned(content, loaded.error());
    const milter::Mail& mail = **loaded;
    if (!share.set(2 * mail.held()))
        co_return leave_unsigned(content, Error{share.limit_text(), "4.3.1"});
    // Somebody behind the check sealed it, or took seals away: what was found is not what the chain is now.
    if (!ours && mailauth::arc_digest(mail.head()) != transaction_->sealing->chain_digest) {
        core_.outside.log.info("{}: not sealed: its chain of seals was changed after it was checked", queue_id);
        co_return;
    }
    auto hash = co_await mailauth::hash_body([&mail](std::uint64_t offset, std::size_t most) { return mail.body(offset, most); }, body);
    if (!hash)
        co_return leave_unsigned(content, hash.error());
    const bool relaxed = body == mailauth::Canonical::relaxed;
    handoff::Signer& signer = *core_.outside.signer;
    Result<std::string> fields = std::string();
    if (ours)
        fields = co_await signer.sign(queue_id, mail.head(), *std::move(hash), relaxed);
    else
        fields = co_await signer.seal(queue_id, mail.head(), *std::move(hash), relaxed, transaction_->sealing->proof);
    if (!fields)
        co_return leave_unsigned(content, fields.error());
    if (!fields->empty())
        co_await content.rewrite(*fields + mail.head(), mail.old_head_size(), std::nullopt);
}

void Session::leave_unsigned(Content& content, const Error& why)
{
    core_.outside.log.warning("{}: not signed: {}", content.envelope().queue_id(), why.text());
    content.refuse(refusal_of(why));
}

}  // namespace posthorn::receive
