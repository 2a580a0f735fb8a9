// commands/postfix_tls.hpp: `postfix tls SUBCOMMAND`: switches opportunistic TLS on, makes keys, certificates, requests, TLSA records.  postfix-tls(1)
// Files    key-DATE-TIME.pem, cert-DATE-TIME.pem (ecdsa: eckey-, eccert-) in the configuration directory; a key is mode 0600 from the start.
// Changes  main.cf only where all settings of that side are at their defaults, or by deploy-server-cert; all or nothing.
#pragma once

#include "config/snapshot.hpp"

#include <span>

namespace posthorn::commands {

/// `words`: the subcommand and its arguments. The exit status.
int postfix_tls(const config::Snapshot& snapshot, std::span<char*> words);

}  // namespace posthorn::commands
