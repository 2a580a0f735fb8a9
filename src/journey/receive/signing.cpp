#include "receive/signing.hpp"

#include "mailauth/arc_sets.hpp"
#include "mailauth/hash_body.hpp"
#include "milter/mail.hpp"

namespace posthorn::receive {

namespace {

void leave_unsigned(Server::Core& core, Content& content, const Error& why)
{
    core.outside.log.warning("{}: not signed: {}", content.envelope().queue_id(), why.text());
    content.refuse(refusal_of(why));
}

}  // namespace

bool may_be_signed(const Server::Core& core, const Sealing* sealing)
{
    return core.outside.signer != nullptr && (core.options.signed_body || sealing != nullptr);
}

awaitable<void> sign_content(Server::Core& core, Content& content, const Sealing* sealing)
{
    const handoff::Envelope& envelope = content.envelope();
    const std::string queue_id = envelope.queue_id();
    bool ours = false;
    if (core.options.signed_body) {
        const auto asked = co_await core.outside.cleaner.signed_client(envelope.client(), envelope.origin());
        if (!asked)
            co_return leave_unsigned(core, content, asked.error());
        ours = *asked;
    }
    if (!ours && sealing == nullptr)
        co_return;
    const mailauth::Canonical body = ours ? *core.options.signed_body : sealing->body;
    Ceiling::Share share(core.ceiling);
    auto loaded =
        co_await milter::Mail::load(content.stored(), [&content](std::uint64_t offset, std::size_t most) { return content.read(offset, most); }, 0);
    if (!loaded)
        co_return leave_unsigned(core, content, loaded.error());
    const milter::Mail& mail = **loaded;
    if (!share.set(2 * mail.held()))
        co_return leave_unsigned(core, content, Error{share.limit_text(), "4.3.1"});
    // Somebody behind the check sealed it, or took seals away: what was found is not what the chain is now.
    if (!ours && mailauth::arc_digest(mail.head()) != sealing->chain_digest) {
        core.outside.log.info("{}: not sealed: its chain of seals was changed after it was checked", queue_id);
        co_return;
    }
    auto hash = co_await mailauth::hash_body([&mail](std::uint64_t offset, std::size_t most) { return mail.body(offset, most); }, body);
    if (!hash)
        co_return leave_unsigned(core, content, hash.error());
    const bool relaxed = body == mailauth::Canonical::relaxed;
    handoff::Signer& signer = *core.outside.signer;
    Result<std::string> fields = std::string();
    if (ours)
        fields = co_await signer.sign(queue_id, mail.head(), *std::move(hash), relaxed);
    else
        fields = co_await signer.seal(queue_id, mail.head(), *std::move(hash), relaxed, sealing->proof);
    if (!fields)
        co_return leave_unsigned(core, content, fields.error());
    if (!fields->empty())
        co_await content.rewrite(*fields + mail.head(), mail.old_head_size(), std::nullopt);
}

}  // namespace posthorn::receive
