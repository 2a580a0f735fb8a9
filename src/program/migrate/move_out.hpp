// migrate/move_out.hpp: our queue becomes that of a stopped mail system, whatever system it is: the steps, and what a target has to know.
// Once       a message is built whole in posthorn-back as ID.ready; put on hold; renamed to ID.given, which is when it counts; removed from our queue; placed where
//            its system finds it. A run that is cut off anywhere is finished by the next.
// Not given  what the other system has no way to say, and submissions in our maildrop: a Trouble each; they stay.
#pragma once

#include "migrate/move_in.hpp"
#include "spool/store.hpp"

#include <string>

namespace posthorn::migrate {

/// The queue of a mail system that is stopped. A message is a file or a folder, which is renamed as a whole.
class Target {
public:
    virtual ~Target() = default;
    /// posthorn-back is made in it.
    virtual const std::string& directory() const = 0;
    virtual Result<void> prepare() = 0;
    /// Makes it under that path, which is free, and durable. `envelope`: with the recipients that are open. Error: what cannot be said there.
    virtual Result<void> build(const handoff::Envelope& envelope, bool hold, spool::ContentReader& content, const std::string& path) = 0;
    /// Takes it to its place; which queue that is. What it may be cut off in, it finishes at the next call.
    virtual Result<std::string> place(const std::string& path, bool hold) = 0;
    /// What place() has changed is so after a power loss.
    virtual Result<void> sync() = 0;
};

/// Error: also that our own instance runs.
Result<Taken> move_out(const config::Snapshot& snapshot, Target& target, const Step& step = {});

/// All of it, in order, in pieces.
Result<void> each_piece(spool::ContentReader& content, const TakeContent& take);

}  // namespace posthorn::migrate
