// deliver/pipe_agent.hpp: mail given to a command, by the line of master.cf.                                                   pipe(8)
// One command has all recipients of a request (transport_destination_recipient_limit), and one fate for all of them.
#pragma once

#include "deliver/message.hpp"
#include "deliver/pipe_line.hpp"
#include "deliver/spawner.hpp"
#include "deliver/teller.hpp"
#include "deliver/written.hpp"

#include <optional>

namespace posthorn::deliver {

struct PipeOptions {
    std::string service;                     // of master.cf: "delivered via NAME service"
    PipeLine line;
    tables::Delimiter delimiter;
    bool allow_minus = false;                // allow_min_user
    bool original_to = true;                 // enable_original_recipient: what the flag O asks for
    std::chrono::seconds time_limit{1000};
    std::vector<std::string> environment;
};

/// Of user= and group=, asked before each delivery: the user may come after the mail. An Error: unknown, or not to be given to commands.
using LookUpPrivileges = std::function<Result<Privileges>()>;

class PipeAgent {
public:
    PipeAgent(PipeOptions options, Spawner& spawner, Teller& teller, LookUpPrivileges privileges)
        : options_(std::move(options)), spawner_(spawner), teller_(teller), privileges_(std::move(privileges))
    {
    }
    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest request, Fd content);

private:
    awaitable<Fate> attempt(const handoff::DeliveryRequest* request, Fd content);
    std::optional<Fate> refused(const handoff::DeliveryRequest& request, const Message& message) const;

    PipeOptions options_;
    Spawner& spawner_;
    Teller& teller_;
    LookUpPrivileges privileges_;
};

/// What the macros of a request are.
PipeMail mail_of(const handoff::DeliveryRequest& request);
/// The message as `written` says, in pieces for a command; an empty one is the end.
std::function<Result<std::string>()> pieces_of(Message message, WrittenOptions how, WrittenNames names);

}  // namespace posthorn::deliver
