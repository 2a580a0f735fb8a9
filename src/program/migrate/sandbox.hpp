// migrate/sandbox.hpp: private copies of mail systems, ours or Postfix's, with a configuration each, on loopback, that deliver nothing.
// Shape    a temporary folder with a copy of main.cf and a master.cf made of the old one: the SMTP lines that are asked, which take XCLIENT from 127.0.0.1,
//          queue and data folders of their own, no other line that listens. Tables are read where they are.
// Postfix  each delivery service is a discard(8) under its own name: the log then says where mail would have gone.
// Left out what would reach a living service or wait for somebody: policy servers, Milters, proxy filters, address probes, AUTH, TLS, records of
//          deliveries, notices to postmaster.
// Ends     with the object: what was started is stopped, by its process id; the folder is removed. Where the program is ended before, a process that waits for
//          that does the same.
#pragma once

#include "base/fd.hpp"
#include "config/master_cf.hpp"
#include "migrate/survey.hpp"

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::migrate {

/// Postfix's own programs: below "/" where it is installed, or below the folder where its package was unpacked.
struct PostfixPrograms {
    std::string root;
    std::string commands, daemons;  // folders
    /// Error: not there.
    static Result<PostfixPrograms> find(const std::string& root);
};

/// Where each line is asked, by its name in master.cf; "" is the one that stands for port 25, or else the first server.
using Ports = std::map<std::string, int, std::less<>>;
/// The line smtpd of this name, or that behind a postscreen of this name; where the name stands for port 25 ("smtp", "25", "smtpd"), another one that does.
/// Null: there is none.
const config::ServiceLine* server_line(const config::MasterCf& master_cf, std::string_view service);

struct SandboxShape {
    std::string folder;
    Ports ports;
    const PostfixPrograms* postfix = nullptr;  // Debian's, else ours
    bool logins = false;  // XCLIENT LOGIN counts where the configuration has logins; nobody who knows passwords is asked
};
/// The texts of both files. A line that master.cf does not have is not there either, but for "". Pure.
struct SandboxFiles {
    std::string main_cf, master_cf;
};
SandboxFiles sandbox_files(const Survey& survey, const config::MasterCf& master_cf, const SandboxShape& shape);
/// What of a list of restrictions both can be asked about.
std::string without_questions_to_others(std::string_view restrictions);
/// What is not asked, for the report.
std::string_view left_out_text();

class Sandbox {
public:
    /// With `postfix` Debian's, else ours; `services` are the lines that it is to be asked through, `logins` as in SandboxShape.
    /// Error: it does not start, with the end of its log.
    static Result<std::unique_ptr<Sandbox>> start(const Survey& survey, const PostfixPrograms* postfix,
                                                  const std::vector<std::string>& services = {""}, bool logins = false);
    Sandbox(Sandbox&&) = delete;
    ~Sandbox();

    /// Of the lines that were asked for, those that there are.
    const Ports& ports() const { return shape_.ports; }
    const std::string& config_directory() const { return config_; }
    std::string log() const;
    /// The last lines of the log and of what the programs said: why something failed.
    std::string last_words() const;
    /// Runs one of Postfix's programs with this configuration. The exit status.
    int run(std::vector<std::string> words) const;

private:
    Sandbox() = default;
    Result<void> make(const Survey& survey, const std::vector<std::string>& services);
    Result<void> make_folders_of_postfix();
    Result<void> run_master();
    Result<void> guard();
    void stop_and_remove() const;

    SandboxShape shape_;
    std::string config_;
    pid_t guardian_ = 0;
    Fd alive_;  // closed when this process ends, however it does
};

}  // namespace posthorn::migrate
