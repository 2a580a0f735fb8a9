#include "send/transcript.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>

namespace posthorn::send {

using handoff::TranscriptLine;

namespace {

constexpr std::string_view hidden = "[not recorded]";
constexpr std::size_t failures_kept = 20, queue_ids_kept = 100;

}  // namespace

void Recorder::begin(std::string relay, std::string site, bool probe)
{
    if (!to_)
        return;
    static std::uint64_t sessions = 0;
    begun_ = true;
    began_ = clock_.wall();
    began_steady_ = clock_.steady();
    relay_ = std::move(relay);
    site_ = std::move(site);
    probe_ = probe;
    id_ = fmt::format("{:x}.{:x}.{:x}", began_.time_since_epoch().count(), ::getpid(), ++sessions);
}

std::uint32_t Recorder::since_began() const
{
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(clock_.steady() - began_steady_).count());
}

void Recorder::add(TranscriptLine::Who who, std::string text, bool with_last)
{
    std::vector<Line>& lines = open_ ? recent_ : opening_;
    text.resize(std::min(text.size(), line_octets));
    const bool with = with_last && !lines.empty() && lines.back().who == who;
    if (with)
        lines.back().with_next = true;
    // One segment, one time: not when each line was put together.
    lines.push_back({who, std::move(text), with ? lines.back().after : since_began()});
    if (!open_) {
        if (opening_.size() > opening_lines) {
            opening_.erase(opening_.begin() + opening_lines / 2);
            ++left_out_;
        }
        return;
    }
    octets_ += lines.back().text.size();
    if (recent_.size() > recent_lines || octets_ > recent_octets)
        make_room();
}

/// The older half goes.
void Recorder::make_room()
{
    std::size_t gone = 0, octets = 0;
    while (gone + 1 < recent_.size() && (gone < recent_.size() / 2 || octets < octets_ / 2))
        octets += recent_[gone++].text.size();
    recent_.erase(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(gone));
    octets_ -= octets;
    left_out_ += static_cast<std::uint32_t>(gone);
}

void Recorder::said(std::string_view line)
{
    if (!begun_)
        return;
    const bool together = std::exchange(together_, true);
    if (in_auth_)
        return add(TranscriptLine::CLIENT, std::string(hidden), together);
    if (!istarts_with(line, "AUTH ") && !iequals(line, "AUTH"))
        return add(TranscriptLine::CLIENT, std::string(line), together);
    in_auth_ = true;
    const auto words = split(line, " ");
    if (words.size() < 2)
        return add(TranscriptLine::CLIENT, "AUTH", together);
    add(TranscriptLine::CLIENT, fmt::format("AUTH {}{}{}", words[1], words.size() > 2 ? " " : "", words.size() > 2 ? hidden : ""), together);
}

void Recorder::heard(const smtp::Reply& reply, bool arrived_together)
{
    if (!begun_)
        return;
    if (in_auth_ && reply.code == 334)
        return add(TranscriptLine::SERVER, fmt::format("334 {}", hidden), arrived_together);
    in_auth_ = false;
    const std::size_t count = std::max<std::size_t>(reply.lines.size(), 1);
    for (std::size_t i = 0; i < count && i < lines_of_reply; ++i)
        add(TranscriptLine::SERVER, reply.wire_line(i), i != 0 || arrived_together);
    left_out_ += static_cast<std::uint32_t>(count - std::min(count, lines_of_reply));
}

void Recorder::remark(std::string text)
{
    if (begun_)
        add(TranscriptLine::REMARK, std::move(text), false);
}

void Recorder::opened() { open_ = true; }

void Recorder::serves(const std::string& queue_id)
{
    if (begun_ && (queue_ids_.empty() || queue_ids_.back() != queue_id)) {
        if (queue_ids_.size() >= queue_ids_kept)
            queue_ids_.erase(queue_ids_.begin());
        queue_ids_.push_back(queue_id);
    }
}

void Recorder::failed(const std::string& queue_id, std::string reason)
{
    if (!begun_ || failures_.size() >= failures_kept)
        return;
    serves(queue_id);
    failures_.emplace_back(queue_id, std::move(reason));
}

void Recorder::tell()
{
    if (!failures_.empty())
        send(false);
}

void Recorder::end()
{
    if (!begun_)
        return;
    tell();
    if (told_ ? !recent_.empty() : to_->wants_good())
        send(told_);
    begun_ = false;
}

void Recorder::send(bool tail)
{
    handoff::Transcript made;
    made.set_session(id_);
    made.set_part(part_++);
    made.set_tail(tail);
    made.set_relay(relay_);
    made.set_site(site_);
    made.set_began(began_.time_since_epoch().count());
    made.set_tls(tls_);
    made.set_probe(probe_);
    for (std::string& id : queue_ids_)
        made.add_queue_ids(std::move(id));
    queue_ids_.clear();
    for (auto& [queue_id, text] : failures_) {
        handoff::TranscriptFailure& failure = *made.add_failures();
        failure.set_queue_id(std::move(queue_id));
        failure.set_text(std::move(text));
    }
    failures_.clear();
    const auto put = [&](const Line& line, std::string text) {
        TranscriptLine& out = *made.add_lines();
        out.set_who(line.who);
        out.set_text(std::move(text));
        out.set_after(line.after);
        out.set_with_next(line.with_next);
    };
    if (!tail) {
        for (const Line& line : opening_)
            put(line, line.text);
        made.set_opening(static_cast<std::uint32_t>(opening_.size()));
    }
    for (Line& line : recent_)
        put(line, std::move(line.text));
    made.set_left_out(std::exchange(left_out_, 0));
    recent_.clear();
    octets_ = 0;
    told_ = told_ || made.failures_size() != 0;
    to_->take(std::move(made));
}

}  // namespace posthorn::send
