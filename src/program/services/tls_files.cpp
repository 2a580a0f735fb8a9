#include "services/tls_files.hpp"

#include "tables/file.hpp"

#include <fmt/ranges.h>

#include <utility>

namespace posthorn::services {

TlsFiles::TlsFiles(const Executor& executor, std::shared_ptr<tls::Context> context, std::shared_ptr<TableFiles> files, observe::Log log,
                   std::chrono::milliseconds moment)
    : context_(std::move(context)), files_(std::move(files)), log_(std::move(log)), moment_(moment), changed_(executor)
{
    const tls::Options& options = context_->options();
    paths_.insert(options.chain_files.begin(), options.chain_files.end());
    for (const tls::CertificateFiles& pair : options.certificates)
        paths_.insert({pair.certificate, pair.key});
    if (!options.ca_file.empty())
        paths_.insert(options.ca_file);
    files_->on_change([this](const std::string& path) {
        if (!paths_.contains(path))
            return;
        due_ = true;
        changed_.notify_all();
    });
}

TlsFiles::~TlsFiles() { files_->on_change({}); }

awaitable<void> TlsFiles::follow()
{
    while (!co_await cancelled()) {
        if (!due_) {
            co_await changed_.wait();
            continue;
        }
        while (std::exchange(due_, false) && !co_await cancelled())
            co_await sleep_for(moment_);
        if (!co_await cancelled())
            read_again();
    }
}

void TlsFiles::read_again()
{
    const auto read = [this](const std::string& path) -> Result<std::string> {
        TRY(const Fd file, files_->open(path));
        return tables::read_all(file.get());
    };
    if (const auto done = context_->read_again(read); !done)
        log_.warning("TLS: {}; {}", done.error().text(),
                     context_->has_certificate() ? "keys and certificates stay what they were" : "it stays disabled");
    else
        log_.info("TLS: keys and certificates were read again: {}", fmt::join(paths_, ", "));
}

}  // namespace posthorn::services
