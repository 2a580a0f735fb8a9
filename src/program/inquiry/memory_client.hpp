// inquiry/memory_client.hpp: questions to memory, which keeps what is known of servers and addresses. For root and mail_owner.
// Errors   "the mail system is down" with status 4.3.0; what memory said.
#pragma once

#include "base/error.hpp"
#include "config/snapshot.hpp"
#include "handoff/frames.pb.h"
#include "inquiry/ask.hpp"
#include "peers/record.hpp"
#include "sts/policy.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace posthorn::peers::stored {
class Command;
class CommandReply;
}  // namespace posthorn::peers::stored

namespace posthorn::inquiry {

class MemoryClient {
public:
    /// No answer comes after `until` (ask.hpp).
    explicit MemoryClient(const config::Snapshot& snapshot, Until until = {});

    Result<handoff::VerifyKnowledge> known(const std::string& address);
    /// The policy of MTA-STS that holds for a domain in A-labels and lower case; none: it has none.
    Result<std::optional<sts::Known>> policy(const std::string& domain);

    struct Done {
        std::uint64_t count = 0;
        std::uint64_t sets = 0;             // MX sets, and hosts that greylist
        std::uint64_t ways = 0;             // to addresses, beside those of servers
        std::string trouble;                // why it is in force and not stored
    };
    /// What was learned up to now is in the file after it.
    Result<Done> store();
    Result<Done> forget(const std::vector<std::string>& keys, const std::vector<std::string>& sets, const std::vector<std::string>& ways, bool all);
    Result<Done> import(std::span<const posthorn::peers::Record> records);

private:
    Result<Done> converse(std::vector<posthorn::peers::stored::Command> commands);

    std::string socket_;
    Until until_;
};

}  // namespace posthorn::inquiry
