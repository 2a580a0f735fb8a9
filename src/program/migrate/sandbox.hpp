// migrate/sandbox.hpp: private copies of both mail systems with one configuration, on loopback, that deliver nothing.
// Shape    a temporary folder with a copy of main.cf and a master.cf made of the old one: one SMTP line that takes XCLIENT from 127.0.0.1,
//          queue and data folders of their own, no other line that listens. Tables are read where they are.
// Postfix  each delivery service is a discard(8) under its own name: the log then says where mail would have gone.
// Left out what would reach a living service or wait for somebody: policy servers, Milters, proxy filters, address probes, AUTH, TLS.
// Ends     with the object: what was started is stopped, by its process id; the folder is removed.
#pragma once

#include "config/master_cf.hpp"
#include "migrate/survey.hpp"

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace posthorn::migrate {

/// Postfix's own programs: below "/" where it is installed, or below the folder where its package was unpacked.
struct PostfixPrograms {
    std::string root;
    std::string commands, daemons;            // folders
    /// Error: not there.
    static Result<PostfixPrograms> find(const std::string& root);
};

/// The texts of both files. Pure.
struct SandboxFiles {
    std::string main_cf, master_cf;
};
SandboxFiles sandbox_files(const Survey& survey, const config::MasterCf& master_cf, const std::string& folder, int port,
                           const PostfixPrograms* postfix);
/// What of a list of restrictions both can be asked about.
std::string without_questions_to_others(std::string_view restrictions);
/// What is not asked, for the report.
std::string_view left_out_text();

class Sandbox {
public:
    /// With `postfix` Debian's, else ours. Error: it does not start, with the end of its log.
    static Result<std::unique_ptr<Sandbox>> start(const Survey& survey, const PostfixPrograms* postfix);
    Sandbox(Sandbox&&) = delete;
    ~Sandbox();

    int port() const { return port_; }
    const std::string& config_directory() const { return config_; }
    std::string log() const;
    /// The last lines of the log and of what the programs said: why something failed.
    std::string last_words() const;
    /// Runs one of Postfix's programs with this configuration. The exit status.
    int run(std::vector<std::string> words) const;

private:
    Sandbox() = default;
    Result<void> make(const Survey& survey);

    const PostfixPrograms* postfix_ = nullptr;
    std::string folder_, config_;
    int port_ = 0;
    pid_t master_ = 0;
};

}  // namespace posthorn::migrate
