#include "services/transcripts.hpp"

#include "handoff/frames.hpp"
#include "send/params.hpp"
#include "services/programs.hpp"

namespace posthorn::services {

using handoff::Frame;
using handoff::Transcript;

namespace {

constexpr std::size_t transcripts_at_most = 200;
constexpr unsigned good_per_second = 20;
/// What arrives soon after goes in the same write.
constexpr std::chrono::milliseconds gather_time{50}, prune_interval{60'000};

}  // namespace

// ---- In the process that speaks

TranscriptLink::TranscriptLink(process::Service& service, const Clock& clock)
    : clock_(clock), wanted_(service.config().get(send::smtp_transcript_size) != 0),
      good_wanted_(service.config().get(send::smtp_transcript_good_count) != 0), service_(service.name()),
      link_(service.executor(), std::string(memory_socket), {.channel = {.name = "memory"}}), tasks_(service.executor())
{
}

void TranscriptLink::start() { link_.start(); }

awaitable<void> TranscriptLink::close()
{
    co_await tasks_.drained();
    co_await link_.close();
}

bool TranscriptLink::wants_good()
{
    if (!good_wanted_)
        return false;
    const SteadyTime now = clock_.steady();
    if (now - good_since_ >= std::chrono::seconds{1}) {
        good_since_ = now;
        good_ = 0;
    }
    return good_++ < good_per_second;
}

void TranscriptLink::take(Transcript transcript)
{
    if (on_the_way_ >= transcripts_at_most) {
        ++dropped_;
        return;
    }
    ++on_the_way_;
    transcript.set_service(service_);
    tasks_.spawn(tell(std::move(transcript)));
}

awaitable<void> TranscriptLink::tell(Transcript transcript)
{
    const auto sent = co_await link_.send(Frame::transcript, std::move(transcript));
    dropped_ += sent ? 0 : 1;
    --on_the_way_;
}

// ---- In memory

TranscriptLimits TranscriptLimits::from(const config::Snapshot& snapshot)
{
    const auto octets = static_cast<std::uint64_t>(snapshot.get(send::smtp_transcript_size));
    const auto count = static_cast<std::uint64_t>(snapshot.get(send::smtp_transcript_good_count));
    TranscriptLimits made;
    made.failed = {.octets = octets - octets / 4, .age = snapshot.get(send::smtp_transcript_failed_age)};
    made.good = {
        .octets = count == 0 ? 0 : octets / 4, .age = snapshot.get(send::smtp_transcript_good_age), .records = std::max<std::uint64_t>(count, 1)};
    return made;
}

TranscriptKeeper::TranscriptKeeper(const Executor& executor, std::string folder, TranscriptLimits limits, const Clock& clock, observe::Log log)
    : folder_(std::move(folder)), limits_(limits), clock_(clock), log_(std::move(log)), wake_(executor)
{
}

void TranscriptKeeper::serve(ipc::Dispatcher& dispatcher)
{
    dispatcher.on_notice<Transcript>(Frame::transcript, [this](Transcript transcript) { take(std::move(transcript)); });
}

void TranscriptKeeper::take(Transcript transcript)
{
    std::string octets = transcript.SerializeAsString();
    if (octets_ + octets.size() > waiting_octets || octets.size() > observe::ring_record_octets) {
        ++dropped_;
        return;
    }
    octets_ += octets.size();
    // The end of a failed session belongs to its beginning.
    waiting_.push_back({transcript.failures_size() != 0 || transcript.tail(), clock_.wall(), std::move(octets)});
    wake_.notify_all();
}

awaitable<void> TranscriptKeeper::run()
{
    while (!co_await cancelled()) {
        if (waiting_.empty())
            co_await wake_.wait_for(prune_interval);
        co_await sleep_for(gather_time);
        auto batch = std::exchange(waiting_, {});
        octets_ = 0;
        note(co_await on_thread(thread_, [this, batch = std::move(batch), limits = limits_] { return write(batch, limits); }));
    }
}

void TranscriptKeeper::write_out()
{
    note(write(std::exchange(waiting_, {}), limits_));
    octets_ = 0;
}

TranscriptKeeper::Written TranscriptKeeper::write(const std::vector<Waiting>& batch, TranscriptLimits limits)
{
    Written written;
    for (auto& [ring, name, limit] : {std::tuple{&failed_, handoff::failed_ring, limits.failed}, {&good_, handoff::good_ring, limits.good}}) {
        if (!*ring) {
            auto opened = observe::Ring::open(folder_, std::string(name), limit);
            if (!opened) {
                written.trouble = opened.error();
                continue;
            }
            *ring = std::make_unique<observe::Ring>(*std::move(opened));
        }
        (*ring)->limit(limit);
        (*ring)->prune(clock_.wall());
    }
    for (const Waiting& one : batch) {
        const auto& ring = one.failed ? failed_ : good_;
        const auto put = ring ? ring->append(one.when, one.octets) : Result<void>(written.trouble.value_or(Error{"not open", "4.3.0"}));
        if (!put)
            written.trouble = put.error();
        ++(put ? written.stored : written.dropped);
    }
    return written;
}

void TranscriptKeeper::note(const Written& written)
{
    stored_ += written.stored;
    dropped_ += written.dropped;
    if (!written.trouble) {
        in_trouble_ = in_trouble_ && written.stored == 0;
        return;
    }
    if (!std::exchange(in_trouble_, true))
        log_.warning("{}; transcripts are dropped", written.trouble->text());
}

}  // namespace posthorn::services
