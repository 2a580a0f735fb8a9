// migrate/move_in.hpp: the queue of a stopped mail system becomes ours, whatever system it was: the steps, and what a source of messages has to know.
// Once       a message is linked into posthorn-taken/taking with the queue id that it gets; committed on hold; taken out of its queue; its link moved to
//            releasing; released; moved to its place. What is on hold nobody delivers, so that a run that is cut off anywhere is finished by the next.
// Link       of a message: one name below posthorn-taken, of a file or of a folder, which is renamed as a whole: QUEUE+NAME+QUEUE-ID.
// Originals  are never deleted: they end in posthorn-taken/QUEUE/NAME.
// Errors     what stops everything: a mail system runs, folders cannot be written, the spool fails or has no room. A message that cannot be read is a
//            Trouble, stays where it is, and the rest is taken.
#pragma once

#include "base/clock.hpp"
#include "config/snapshot.hpp"
#include "handoff/words.pb.h"
#include "migrate/queue_folder.hpp"
#include "migrate/take_content.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace posthorn::migrate {

struct Trouble {
    std::string path, reason;
};
struct Taken {
    std::uint64_t messages = 0, recipients = 0;
    std::map<std::string, std::uint64_t> by_queue;
    std::vector<Trouble> troubles;
    std::string kept_in;
};

/// Called behind each step, where a run may be cut off: for tests.
using Step = std::function<void()>;

/// What its files say of a message.
struct Original {
    handoff::Envelope envelope;  // recipients: those that are open; without queue id, message id and hops
    std::uint32_t done = 0;  // recipients that are done with
    bool hold = false;
    bool requeue = false;  // it has not been through cleanup
    WallTime next_try{};
};

/// What became of a message since an earlier run linked it, and where it is.
struct Whereabouts {
    enum class State { waiting, taken_out, withdrawn };  // withdrawn: its own system has worked on it since
    State state = State::taken_out;
    std::string path;  // waiting: in its queue
};

/// The queue of a mail system that is stopped. A `link` is a path that link() made, or a later name of it; empty: where it lies in its queue.
class Source {
public:
    virtual ~Source() = default;
    /// posthorn-taken is made in it.
    virtual const std::string& directory() const = 0;
    virtual Result<std::vector<std::string>> queues() = 0;
    /// Messages that are whole, in order; what looks like one and is none becomes a Trouble.
    virtual Result<std::vector<Found>> messages(const std::string& queue, std::vector<Trouble>& troubles) = 0;
    virtual Result<Original> read(const Found& message, const std::string& link, const TakeContent& content) = 0;
    /// Makes it whole or not at all. The folder that it lies in is synced by the caller.
    virtual Result<void> link(const Found& message, const std::string& link) = 0;
    /// Its system does not know it any more. What it may be cut off in, it finishes at the next call. Adds the folders that the caller has to sync.
    virtual Result<void> take_out(const Found& message, const std::string& link, std::vector<std::string>& folders) = 0;
    /// Of a link in taking/. Error: it cannot be told, or is worked on now.
    virtual Result<Whereabouts> look(const Found& message, const std::string& link) = 0;
    /// Puts the link of a withdrawn message, whose original is its system's, out of the way.
    virtual Result<void> forget(const std::string& link);
    /// Before the link gets its last place.
    virtual Result<void> settle(const Found& message, const std::string& link);
    /// What else in its folders somebody has to look at.
    virtual Result<void> name_the_rest(std::vector<Trouble>& troubles) = 0;
};

/// `snapshot`: Posthorn's configuration. Error: also that our own instance runs.
Result<Taken> move_in(const config::Snapshot& snapshot, Source& source, const Step& step = {});

}  // namespace posthorn::migrate
