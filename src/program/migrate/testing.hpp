// migrate/testing.hpp: small configurations on disk. For tests.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace posthorn::migrate::testing {

/// A configuration directory of its own, removed at the end.
class Folder {
public:
    /// In memory where there is such a place: these tests sync a lot, and power is not what they are about.
    Folder()
    {
        path_ = std::filesystem::exists("/dev/shm") ? "/dev/shm/posthorn-migrate.XXXXXX" : "/tmp/posthorn-migrate.XXXXXX";
        if (!::mkdtemp(path_.data()))
            throw std::runtime_error("mkdtemp " + path_);
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    void write(const std::string& name, const std::string& text, mode_t mode = 0644) const
    {
        std::ofstream(path_ + "/" + name) << text;
        ::chmod((path_ + "/" + name).c_str(), mode);
    }
    std::string read(const std::string& name) const
    {
        std::ifstream file(path_ + "/" + name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

inline const std::string small_master =
    "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nqmgr unix n - n 300 1 qmgr\ncleanup unix n - n - 0 cleanup\n"
    "rewrite unix - - n - - trivial-rewrite\npickup unix n - n 60 1 pickup\n";

inline const std::string quiet =
    "compatibility_level = 3.11\nmyhostname = a.test\nmydestination =\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n";

}  // namespace posthorn::migrate::testing
