#include "base/fd.hpp"
#include "deliver/targets.hpp"
#include "deliver/user_file.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::deliver;

TEST_CASE("user file: text, owner and mode come back; what is not there, a pipe, a folder and a device are told apart")
{
    std::string folder = (std::filesystem::temp_directory_path() / "posthorn-user-file.XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()));
    const std::string path = folder + "/.forward";
    const auto read = [&](const std::string& of) { return unpack_file(pack_file(of)); };
    const auto gone = read(path);
    REQUIRE(gone);
    CHECK_FALSE(gone->has_value());
    CHECK_FALSE(read(path + "/below")->has_value());

    std::ofstream(path) << "a b\n7 1 c\n";
    auto there = read(path);
    REQUIRE((there && there->has_value()));
    CHECK((*there)->text == "a b\n7 1 c\n");
    CHECK((*there)->owner == ::geteuid());
    CHECK_FALSE((*there)->writable_by_others);
    REQUIRE(::chmod(path.c_str(), 0666) == 0);
    CHECK((*read(path))->writable_by_others);

    // A large one is read as far as it takes to see that it is too large.
    std::filesystem::resize_file(path, 100U << 20);
    there = read(path);
    REQUIRE((there && there->has_value()));
    CHECK((*there)->text.size() > targets_limit);
    CHECK((*there)->text.size() < 2 * targets_limit);
    CHECK_FALSE(parse_targets((*there)->text));

    // Nobody writes into it: it is not waited for.
    REQUIRE(::mkfifo((folder + "/fifo").c_str(), 0600) == 0);
    for (const std::string& none : {folder + "/fifo", folder, std::string("/dev/zero")}) {
        const auto refused = read(none);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().text() == "not a regular file");
    }
    CHECK_FALSE(unpack_file(""));
    CHECK_FALSE(unpack_file("F1 1"));
    std::filesystem::remove_all(folder);
}
