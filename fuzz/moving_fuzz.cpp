// What comes to `posthorn take-over`: frames of another machine's, in any order. What reaches the queue is whole, under an id of ours, and in one place.
#include "fuzz.hpp"

#include "moving/taking.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>

namespace posthorn::fuzz {

using namespace posthorn::moving;

namespace {

class AnyQueue final : public ComingQueue {
public:
    class File final : public ContentFile {
    public:
        File(AnyQueue& queue, std::string id) : queue_(queue), id_(std::move(id)) { ++queue_.open; }
        ~File() override { --queue_.open; }
        Result<void> append(std::string_view octets) override
        {
            queue_.written[id_] += octets.size();
            return {};
        }
        Result<void> sync() override
        {
            queue_.synced[id_] = queue_.written[id_];
            return {};
        }
        void keep() override {}

    private:
        AnyQueue& queue_;
        std::string id_;
    };

    Result<handoff::TakeOverReply> ask(handoff::TakeOver asked) override
    {
        handoff::TakeOverReply reply;
        reply.set_target("target");
        if (asked.step() == handoff::TakeOver::IDS)
            for (int left = 0; left < 4; ++left)
                reply.add_queue_ids("ours-" + std::to_string(++numbers));
        for (const handoff::MovingMessage& message : asked.messages()) {
            const std::string& id = message.envelope().queue_id();
            const std::string& file = message.content().file();
            FUZZ_CHECK(id.starts_with("ours-"));
            FUZZ_CHECK(file.empty() || (file == id && message.content().inline_octets().empty() && synced[id] == message.envelope().size()));
            reply.add_taken()->set_here(id);
        }
        FUZZ_CHECK(static_cast<std::size_t>(asked.messages_size()) <= largest_batch);
        return reply;
    }
    Result<std::unique_ptr<ContentFile>> file(const std::string& id) override { return std::unique_ptr<ContentFile>(new File(*this, id)); }

    std::map<std::string, std::uint64_t> written, synced;
    int open = 0, numbers = 0;
};

}  // namespace

void fuzz_one(std::string_view input)
{
    static const int in = ::memfd_create("in", MFD_CLOEXEC), out = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    FUZZ_CHECK(::ftruncate(in, 0) == 0 && ::pwrite(in, input.data(), input.size(), 0) == static_cast<ssize_t>(input.size()));
    FUZZ_CHECK(::lseek(in, 0, SEEK_SET) == 0);
    AnyQueue queue;
    {
        Stream stream(in, out, "the source");
        const auto done = Taking(queue, stream, "1", "new.test").run();
        FUZZ_CHECK(done || !done.error().text().empty());
    }
    FUZZ_CHECK(queue.open == 0);
}

}  // namespace posthorn::fuzz
