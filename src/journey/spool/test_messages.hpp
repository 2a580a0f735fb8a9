// spool/test_messages.hpp: what the room's tests and benchmarks share. Not for the program.
#pragma once

#include "handoff/queue_id.hpp"
#include "observe/log.hpp"
#include "spool/incoming.hpp"
#include "spool/store.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace posthorn::spool {

inline std::string queue_id(int number)
{
    return handoff::long_queue_id(WallTime{std::chrono::seconds{1767225600}}, static_cast<std::uint64_t>(number));
}

/// Another id with the same number.
inline std::string other_queue_id(int number)
{
    return handoff::long_queue_id(WallTime{std::chrono::seconds{1767225601}}, static_cast<std::uint64_t>(number));
}

inline std::string octets_of(int number, std::size_t size)
{
    std::string octets;
    octets.reserve(size + 32);
    while (octets.size() < size)
        octets += "line of message " + std::to_string(number) + ", octet " + std::to_string(octets.size()) + "\r\n";
    octets.resize(size);
    return octets;
}

inline std::shared_ptr<NewMessage> message_of(int number, std::size_t size, int recipients = 1)
{
    auto message = std::make_shared<NewMessage>();
    handoff::Envelope& envelope = message->envelope;
    envelope.set_queue_id(queue_id(number));
    envelope.set_arrival(1767225600'000000 + number);
    envelope.set_sender("sender@example.com");
    envelope.set_size(size);
    envelope.set_message_id("<" + std::to_string(number) + ".message@client.example.com>");
    envelope.mutable_client()->set_name("client.example.com");
    envelope.mutable_client()->set_address("192.0.2.17");
    envelope.mutable_client()->set_helo("client.example.com");
    envelope.mutable_client()->set_protocol("ESMTP");
    for (int i = 0; i < recipients; ++i) {
        handoff::Recipient& recipient = *envelope.add_recipients();
        recipient.set_index(static_cast<std::uint32_t>(i));
        recipient.set_address("user" + std::to_string(i) + "@example.net");
    }
    message->content.set_inline_octets(octets_of(number, size));
    return message;
}

/// As smtpd does it: written, synced, and kept for the queue.
inline NewMessageRef message_in_file(FileOps& files, int number, const std::string& octets)
{
    auto file = IncomingFile::create(files, queue_id(number));
    if (!file || !file->append(octets) || !file->sync())
        return nullptr;
    file->keep();
    auto message = message_of(number, 0);
    message->envelope.set_size(octets.size());
    message->content.Clear();
    message->content.set_file(file->name());
    return message;
}

class TemporaryFolder {
public:
    TemporaryFolder()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "posthorn-spool-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    TemporaryFolder(TemporaryFolder&&) = delete;
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

inline observe::Log silent_log() { return {std::make_shared<observe::MemorySink>(), "postfix/qmgr"}; }

/// A loop that runs until one result is there.
class LoopHarness {
public:
    template <class T>
    Result<T> get(awaitable<Result<T>> asked)
    {
        std::optional<Result<T>> answer;
        asio::co_spawn(loop, std::move(asked), [&](std::exception_ptr failure, Result<T> result) {
            if (failure)
                std::rethrow_exception(failure);
            answer.emplace(std::move(result));
        });
        loop.restart();
        while (!answer && loop.run_one() > 0) {
        }
        loop.poll();
        if (!answer)
            throw std::logic_error("the loop has nothing to do, and the question no answer");
        return std::move(*answer);
    }

    asio::io_context loop;
    HandClock clock;
};

}  // namespace posthorn::spool
