// supervisor/layout.hpp: users and folders, as `postfix check` and every start make them.
// Modes    as Postfix's: private and pid of mail_owner or root, public 0710 and maildrop 1730 of group setgid_group, the rest 0700.
// Without root everything belongs to who runs it, and only the modes that protect from others are set.
#pragma once

#include "base/error.hpp"
#include "config/snapshot.hpp"

#include <sys/types.h>

#include <string>

namespace posthorn::supervisor {

struct Identity {
    uid_t uid = 0;
    gid_t gid = 0;
    gid_t drop_gid = 0;            // setgid_group
};

/// mail_owner and setgid_group by name. Without root: who runs it. Errors name the parameter: "mail_owner: unknown user: postfix".
Result<Identity> identity(const config::Snapshot& snapshot);

struct Layout {
    std::string queue_directory, data_directory;
    /// Makes what is missing and sets owners and modes. The first failure is the Error.
    Result<void> make(const Identity& owner) const;
    static Layout from(const config::Snapshot& snapshot);
};

}  // namespace posthorn::supervisor
