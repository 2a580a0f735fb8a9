#include "siblings/session.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <array>

namespace posthorn::siblings {

namespace {

constexpr std::chrono::milliseconds gathering{100}, last_words_limit{2'000};
constexpr std::size_t frame_wanted = 128 << 10, words_wanted = 1'000, looks_at_once = 2'000, asking_limit = 5'000, failed_octets = 300;

}  // namespace

Session::Session(std::unique_ptr<net::Stream> stream, Identity ours, Memory& memory, std::string name)
    : stream_(std::move(stream)), ours_(std::move(ours)), memory_(memory), name_(std::move(name)), news_(stream_->executor()),
      writing_(stream_->executor())
{
}

void Session::wait(std::set<std::string>& waiting, const std::string& key)
{
    if (waiting.size() >= waiting_limit)
        waiting.erase(waiting.begin());
    if (waiting.insert(key).second)
        news_.notify_all();
}

void Session::asking(Asked asked)
{
    if (asking_.size() >= asking_limit)
        asking_.pop_front();
    asking_.push_back(std::move(asked));
    news_.notify_all();
}

awaitable<Error> Session::run()
{
    for (std::string& key : memory_.peers())
        peers_.insert(std::move(key));
    for (std::string& address : memory_.ways())
        ways_.insert(std::move(address));
    stream_->expires_after(introduction_limit);
    writing_.spawn(write());
    Error why = co_await read();
    if (why.status() == "5.5.2") {                                  // it is to know
        last_words_ = why.what();
        stream_->expires_after(last_words_limit);
        news_.notify_all();
        co_await writing_.drained();
    }
    stream_->close();
    co_await writing_.close();
    if (introduced_)
        memory_.away(name_);
    co_return why;
}

awaitable<Error> Session::read()
{
    Frames frames;
    std::array<char, 16384> room{};
    for (;;) {
        while (auto frame = frames.next()) {
            if (!*frame)
                co_return frame->error();
            if (const auto taken = take(**frame); !taken)
                co_return taken.error();
            stream_->expires_after(silence);
        }
        const auto got = co_await stream_->read_some(room);
        if (!got)
            co_return got.error();
        if (*got == 0)
            co_return Error{introduced_ ? "it ended" : "it ended before it said who it is", "4.3.0"};
        frames.feed({room.data(), *got});
    }
}

Result<void> Session::introduce(const Introduction& introduction)
{
    if (introduction.format() != session_format)
        return Error{"it is of another version, whose words are others", "5.5.2"};
    if (introduction.identity() == ours_.identity)
        return Error{"it is this memory itself: the command leads back here", "5.5.2"};
    if (!is_name(introduction.name()) || introduction.identity().empty() || introduction.identity().size() > 64)
        return Error{"it does not say who it is", "5.5.2"};
    theirs_ = {introduction.identity(), printable(introduction.version().substr(0, 64)), introduction.name()};
    if (name_.empty())
        name_ = theirs_.name;
    introduced_ = true;
    news_.notify_all();
    if (on_introduction)
        on_introduction();
    return {};
}

Result<void> Session::take(const Said& said)
{
    if (!said.failed().empty())
        return Error{fmt::format("it says: {}", printable(said.failed().substr(0, failed_octets), true)), "4.3.0"};
    if (!introduced_ && !said.has_introduction())
        return Error{"it does not say who it is", "5.5.2"};
    TRY(const Words words, words_of(said));
    if (!introduced_)
        TRY_VOID(introduce(said.introduction()));
    counts_.heard += words.size();
    counts_.news += memory_.hear(words, name_);
    return {};
}

Said Session::batch()
{
    Said said;
    std::size_t octets = 0, words = 0, looked_at = 0;
    const auto is_full = [&] { return octets >= frame_wanted || words >= words_wanted || looked_at >= looks_at_once; };
    for (; !asking_.empty() && !is_full(); asking_.pop_front())
        octets += add(said, asking_.front());
    const auto put = [&](std::set<std::string>& waiting, const auto& know) {
        while (!waiting.empty() && !is_full()) {
            const std::string key = std::move(waiting.extract(waiting.begin()).value());
            ++looked_at;
            if (const auto word = know(key)) {
                octets += add(said, *word);
                ++words;
            }
        }
    };
    put(addresses_, [this](const std::string& key) { return memory_.address(key); });
    put(ways_, [this](const std::string& address) { return memory_.way(address); });
    put(peers_, [this](const std::string& key) { return memory_.peer(key); });
    counts_.told += words;
    return said;
}

awaitable<Result<void>> Session::tell_all_addresses()
{
    auto all = co_await memory_.addresses();
    if (!all)
        co_return Result<void>{};                                   // the cache has said why it cannot be read
    Said said;
    std::size_t octets = 0;
    for (const verify::Told& one : *all) {
        octets += add(said, one);
        ++counts_.told;
        if (octets < frame_wanted && said.addresses_size() < static_cast<int>(words_wanted))
            continue;
        CO_TRY_VOID(co_await stream_->write(frame_of(said)));
        said.Clear();
        octets = 0;
    }
    co_return said.addresses_size() == 0 ? Result<void>{} : co_await stream_->write(frame_of(said));
}

awaitable<void> Session::write()
{
    Said first;
    first.mutable_introduction()->set_format(session_format);
    first.mutable_introduction()->set_version(ours_.version);
    first.mutable_introduction()->set_identity(ours_.identity);
    first.mutable_introduction()->set_name(ours_.name);
    auto written = co_await stream_->write(frame_of(first));
    // Nobody is told anything who has not said what he is.
    while (written && !introduced_ && last_words_.empty() && stream_->is_open() && !co_await cancelled())
        co_await news_.wait_for(introduction_limit);
    if (written && introduced_ && last_words_.empty())
        written = co_await tell_all_addresses();
    while (written && last_words_.empty() && stream_->is_open() && !co_await cancelled()) {
        if (!anything_waits() && !co_await news_.wait_for(still_here)) {
            if (!co_await cancelled())
                written = co_await stream_->write(frame_of(Said{}));
            continue;
        }
        co_await sleep_for(gathering);
        while (written && anything_waits() && last_words_.empty() && !co_await cancelled()) {
            const Said said = batch();
            if (said.ByteSizeLong() > 0)
                written = co_await stream_->write(frame_of(said));
            else
                co_await asio::post(stream_->executor(), use_awaitable);        // of these there is nothing to tell
        }
    }
    if (written && !last_words_.empty()) {
        Said last;
        last.set_failed(last_words_.substr(0, failed_octets));
        (void)co_await stream_->write(frame_of(last));
    }
    if (!written)
        stream_->close();
}

}  // namespace posthorn::siblings
