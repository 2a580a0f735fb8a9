// services/sts_link.hpp: policies of MTA-STS, in two processes.
// StsLink   in smtp: asks memory what is known of a domain, once for each, and tells it what was fetched. What cannot be told within half a minute is
//           dropped: the next process fetches it again, if it can.
// StsDesk   in memory: answers, and keeps what it is told in the file `mta_sts` of the data directory, at most `limit` domains, those that end first
//           go first. What is over is left out.
// Trust     octets that are no policy of a domain are not kept. A file that cannot be read or written is warned of once.
#pragma once

#include "base/clock.hpp"
#include "handoff/domain_policy.pb.h"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "observe/log.hpp"
#include "sts/book.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>

namespace posthorn::services {

class StsLink final : public sts::Shelf {
public:
    static constexpr std::chrono::milliseconds patience{5'000};

    StsLink(Executor executor, std::string memory);
    void start() { memory_.start(); }
    awaitable<void> close();
    awaitable<Result<std::optional<std::string>>> find(std::string domain) override;
    void keep(const std::string& domain, const std::string& octets) override;

private:
    awaitable<void> send(handoff::DomainPolicy policy);

    ipc::Client memory_;
    TaskGroup tasks_;
    bool closing_ = false;
};

class StsDesk {
public:
    static constexpr std::size_t limit = 20'000;

    /// Reads the file. Blocks; after the process is confined.
    StsDesk(std::string data_directory, const Clock& clock, observe::Log log, Executor executor, ipc::Dispatcher& dispatcher);
    StsDesk(StsDesk&&) = delete;
    ~StsDesk() { thread_.join(); }
    /// Writes until cancelled; `write_out` is due after it.
    awaitable<void> run();
    /// What is not stored yet. Blocks.
    void write_out();
    std::size_t domains() const { return known_.size(); }

private:
    using Batch = std::map<std::string, std::string>;  // empty octets: it goes
    static Result<void> write(const std::string& path, const Batch& batch);
    Result<void> read();
    Result<handoff::DomainPolicy> told(const handoff::DomainPolicy& policy);
    Batch batch();
    void written(const Result<void>& result, const Batch& batch);
    void forget(std::map<std::string, sts::Known>::iterator which);

    std::string path_;
    const Clock& clock_;
    observe::Log log_;
    std::map<std::string, sts::Known> known_;
    std::set<std::string> changed_;
    Signal change_;
    bool in_trouble_ = false;
    asio::thread_pool thread_{1};
};

}  // namespace posthorn::services
