// services/tls_files.hpp: keys and certificates that change while a server runs. Who renews them need not know who uses them.
// When     a file that its options name changed: a moment later, since key and certificate come one after the other.
// Then     new sessions have the new ones, those under way keep what they have; tickets stay good, but for certificates of clients that other
//          authorities judge now.
// Errors   what cannot be used is a warning, and the ones before stay in use until the next change. A server that started without has TLS from
//          the change on that makes them whole.
#pragma once

#include "async/async.hpp"
#include "observe/log.hpp"
#include "services/table_files.hpp"
#include "tls/tls.hpp"

#include <memory>
#include <set>
#include <string>

namespace posthorn::services {

class TlsFiles {
public:
    TlsFiles(const Executor& executor, std::shared_ptr<tls::Context> context, std::shared_ptr<TableFiles> files, observe::Log log,
             std::chrono::milliseconds moment = std::chrono::seconds(2));
    TlsFiles(TlsFiles&&) = delete;
    ~TlsFiles();

    /// Run as a task, until it is cancelled.
    awaitable<void> follow();

private:
    void read_again();

    std::shared_ptr<tls::Context> context_;
    std::shared_ptr<TableFiles> files_;
    observe::Log log_;
    std::chrono::milliseconds moment_;
    std::set<std::string> paths_;
    Signal changed_;
    bool due_ = false;
};

}  // namespace posthorn::services
