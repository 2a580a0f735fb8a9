// send/transcript.hpp: what was said in a session, for who looks later.
// Never    content (its size alone), what AUTH carries in either direction. What is not recorded cannot leak.
// Bounded  by lines and octets: of the opening the first ones stay, of the rest the last ones; how many are missing is said.
// Told     to Transcripts: at each failure, and when the session ends. Without one, nothing is recorded.
#pragma once

#include "base/clock.hpp"
#include "handoff/transcript.pb.h"
#include "smtp/reply.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::send {

/// Where transcripts go. Never waits.
class Transcripts {
public:
    virtual ~Transcripts() = default;
    virtual void take(handoff::Transcript transcript) = 0;
    /// Is one more of a session without failure wanted now?
    virtual bool wants_good() = 0;
};

class Recorder {
public:
    Recorder(Transcripts* to, const Clock& clock) : to_(to), clock_(clock) {}
    Recorder(Recorder&&) = delete;
    ~Recorder() { end(); }

    void begin(std::string relay, std::string site, bool probe);
    /// The next line we say begins a segment.
    void new_segment() { together_ = false; }
    void said(std::string_view line);
    /// `arrived_together`: with the reply before it.
    void heard(const smtp::Reply& reply, bool arrived_together);
    void remark(std::string text);
    void secured(std::string facts) { tls_ = std::move(facts); }
    /// The opening is done: it is shown with every part.
    void opened();
    void serves(const std::string& queue_id);
    void failed(const std::string& queue_id, std::string reason);
    /// What failed since the last time.
    void tell();
    void end();

    static constexpr std::size_t opening_lines = 60, recent_lines = 300, recent_octets = 16 * 1024, line_octets = 1000, lines_of_reply = 50;

private:
    struct Line {
        handoff::TranscriptLine::Who who;
        std::string text;
        std::uint32_t after;                // milliseconds since the session began
        bool with_next = false;
    };
    void add(handoff::TranscriptLine::Who who, std::string text, bool with_last);
    std::uint32_t since_began() const;
    void make_room();
    void send(bool tail);

    Transcripts* to_;
    const Clock& clock_;
    std::string relay_, site_, tls_;
    bool probe_ = false, together_ = false, begun_ = false, open_ = false, told_ = false, in_auth_ = false;
    std::vector<Line> opening_, recent_;
    std::size_t octets_ = 0;                // of recent_
    std::uint32_t left_out_ = 0, part_ = 0;
    std::vector<std::string> queue_ids_;
    std::vector<std::pair<std::string, std::string>> failures_;
    std::string id_;
    WallTime began_{};
    SteadyTime began_steady_{};
};

}  // namespace posthorn::send
