// moving/sides.hpp: the two queues, as the dialogue between them sees each: qmgr behind a socket, or what a test makes of it.
#pragma once

#include "base/error.hpp"
#include "handoff/moving.pb.h"
#include "moving/said.pb.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace posthorn::moving {

/// The format that both have to understand (said.proto).
inline constexpr std::uint32_t format = 1;

/// As an identity and a queue id are: letters and digits, 64 at most. Both are kept until the other side lets them go.
bool is_id(std::string_view text);
/// What the other side says of itself, before any of it is kept or shown: texts are cut and made printable. False: it has no identity.
bool is_who(Introduction& introduction);

class LeavingQueue {
public:
    virtual ~LeavingQueue() = default;
    /// Errors: the mail system is down, or what qmgr said.
    virtual Result<handoff::HandOverReply> ask(handoff::HandOver question) = 0;
    /// Of a message's content, at most a megabyte from `offset`.
    virtual Result<std::string> content(const std::string& queue_id, std::uint64_t offset) = 0;
};

/// Content that is too large for a frame, on its way into the queue; removed where it goes without keep().
class ContentFile {
public:
    virtual ~ContentFile() = default;
    virtual Result<void> append(std::string_view octets) = 0;
    /// On stable storage when it returns.
    virtual Result<void> sync() = 0;
    virtual void keep() = 0;
};

class ComingQueue {
public:
    virtual ~ComingQueue() = default;
    virtual Result<handoff::TakeOverReply> ask(handoff::TakeOver question) = 0;
    virtual Result<std::unique_ptr<ContentFile>> file(const std::string& queue_id) = 0;
};

}  // namespace posthorn::moving
