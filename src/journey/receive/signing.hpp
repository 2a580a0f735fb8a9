// receive/signing.hpp: what our own send is signed (DKIM), what strangers send and was checked is sealed (ARC), as the last thing before it is stored.
#pragma once

#include "handoff/interfaces.hpp"
#include "mailauth/options.hpp"
#include "receive/content.hpp"
#include "receive/core.hpp"

#include <string>

namespace posthorn::receive {

/// How a stranger's message is sealed.
struct Sealing {
    Sealing(handoff::Proof found, std::string digest, mailauth::Canonical how) : proof(std::move(found)), chain_digest(std::move(digest)), body(how)
    {
    }
    handoff::Proof proof;
    std::string chain_digest;  // of the chain that this was found of
    mailauth::Canonical body;
};

/// Could anything of sign_content() come of it? `sealing`, none: it is not sealed.
bool may_be_signed(const Server::Core& core, const Sealing* sealing);
/// After Content::finish(). What should be signed and cannot be now is refused for now: unsigned, it may be refused for good where it goes.
awaitable<void> sign_content(Server::Core& core, Content& content, const Sealing* sealing);

}  // namespace posthorn::receive
