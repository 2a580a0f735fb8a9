// verify/office_test.hpp: a desk with a next host that answers when it is told to, and a folder for its cache.
#pragma once

#include "async/run.hpp"
#include "tables/build.hpp"
#include "verify/desk.hpp"

#include <filesystem>
#include <map>

namespace posthorn::verify {

using namespace std::chrono_literals;
using Kind = Finding::Kind;

inline const Rules rules;
inline const WallTime then{std::chrono::seconds{1'795'226'081}};

/// A next host that answers when it is told to.
class Host final : public Prober {
public:
    explicit Host(const Executor& executor) : go_(executor) {}
    awaitable<Result<Answer>> probe(std::string sender, std::string address) override
    {
        senders.push_back(std::move(sender));
        asked.push_back(address);
        while (held && !co_await cancelled())
            co_await go_.wait();
        if (!no_room.empty())
            co_return Error{no_room, "4.3.2"};
        const auto found = answers.find(address);
        if (found == answers.end() && !others)
            co_return Error{"connection to qmgr lost"};
        Answer answer(found != answers.end() ? found->second : *others, aliases.contains(address) ? aliases.at(address) : address);
        answer.may_control = control;
        answer.takes_all = takes_all;
        co_return answer;
    }
    void release()
    {
        held = false;
        go_.notify_all();
    }
    std::map<std::string, Finding> answers;
    std::map<std::string, std::string> aliases;
    std::vector<std::string> asked, senders;
    std::optional<Finding> others;        // of addresses that `answers` has not
    std::string no_room;
    bool held = false, control = false, takes_all = false;

private:
    Signal go_;
};

struct Office {
    explicit Office(Options with = in_memory())
        : host(loop.get_executor()), desk(loop.get_executor(), std::move(with), host, clock, observe::Log{sink, "postfix/verify"})
    {
    }
    static Options in_memory()
    {
        Options options;
        options.map.clear();
        return options;
    }
    Finding ask(const std::string& address, std::chrono::milliseconds patience = 5s) { return run(loop, desk.ask(address, patience)); }
    asio::io_context loop;
    HandClock clock;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    Host host;
    Desk desk;
};

struct Folder {
    Folder()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "verify-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    Folder(Folder&&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
    Options options() const
    {
        Options made;
        made.map = "lmdb:" + (path / "verify_cache").string();
        return made;
    }
    std::filesystem::path path;
};

}  // namespace posthorn::verify
