// What is received from our own is signed (DKIM), as the last thing before it is stored.
#include "mailauth/hash_body.hpp"
#include "milter/mail.hpp"
#include "receive/session.hpp"

namespace posthorn::receive {

/// What should be signed and cannot be now is refused for now: unsigned, it may be refused for good where it goes.
awaitable<void> Session::sign(Content& content, mailauth::Canonical body)
{
    const auto ours = co_await core_.outside.cleaner.signed_client(content.envelope().client(), content.envelope().origin());
    if (ours && !*ours)
        co_return;
    const auto failed = [this, &content](const Error& error) {
        core_.outside.log.warning("{}: not signed: {}", content.envelope().queue_id(), error.text());
        content.refuse(refusal_of(error));
    };
    if (!ours)
        co_return failed(ours.error());
    Ceiling::Share share(core_.ceiling);
    auto loaded =
        co_await milter::Mail::load(content.stored(), [&content](std::uint64_t offset, std::size_t most) { return content.read(offset, most); }, 0);
    if (!loaded)
        co_return failed(loaded.error());
    const milter::Mail& mail = **loaded;
    if (!share.set(2 * mail.held()))
        co_return failed(Error{share.limit_text(), "4.3.1"});
    auto hash = co_await mailauth::hash_body([&mail](std::uint64_t offset, std::size_t most) { return mail.body(offset, most); }, body);
    if (!hash)
        co_return failed(hash.error());
    auto fields =
        co_await core_.outside.signer->sign(content.envelope().queue_id(), mail.head(), *std::move(hash), body == mailauth::Canonical::relaxed);
    if (!fields)
        co_return failed(fields.error());
    if (!fields->empty())
        co_await content.rewrite(*fields + mail.head(), mail.old_head_size(), std::nullopt);
}

}  // namespace posthorn::receive
