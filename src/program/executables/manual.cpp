// posthorn-manual ROOT [--check]: writes the manual pages and docs/parameters.md below ROOT, or says which are not what it would write.
// For builders; not installed.
#include "manual/render.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace {

std::string content_of(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

int work(const std::filesystem::path& root, bool check)
{
    const auto files = posthorn::manual::all_files();
    int wrong = 0;
    for (const auto& [name, text] : files) {
        const std::filesystem::path path = root / name;
        if (content_of(path) == text)
            continue;
        if (check) {
            fmt::print("{} is not what the program's tables say: run scripts/manual\n", name);
            ++wrong;
            continue;
        }
        std::filesystem::create_directories(path.parent_path());
        std::ofstream file(path, std::ios::binary);
        file << text;
        file.close();
        if (!file) {
            fmt::print(stderr, "{} cannot be written\n", path.string());
            return 1;
        }
        fmt::print("{}\n", name);
    }
    for (const auto& entry : std::filesystem::directory_iterator(root / "man"))
        if (!files.contains("man/" + entry.path().filename().string())) {
            fmt::print("man/{} is of nothing: remove it\n", entry.path().filename().string());
            ++wrong;
        }
    return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    const bool check = argc == 3 && std::string_view(argv[2]) == "--check";
    if (argc != 2 && !check) {
        fmt::print(stderr, "usage: posthorn-manual ROOT [--check]\n");
        return 64;
    }
    return work(argv[1], check);
}
