// The configuration of a run, as it goes into outputs: comment lines of CSV files, or JSON.
#ifndef PYXSTAN_DRIVER_CONFIG_HPP
#define PYXSTAN_DRIVER_CONFIG_HPP

#include "grammar.hpp"
#include "stan_math.hpp"

#include <stan/model/model_base.hpp>
#include <stan/version.hpp>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace pyxstan {

class run_record {
 public:
  run_record(const argument& root, const stan::model::model_base& model)
      : root_(root), name_(model.model_name()), compile_info_(model.model_compile_info()) {
    char text[40];
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
    start_ = text;
  }

  // The comments that open a CSV file; those of diagnostics name neither date nor translator.
  std::string comments(bool whole = true) const {
    std::ostringstream out;
    out << "# stan_version_major = " << stan::MAJOR_VERSION << "\n"
        << "# stan_version_minor = " << stan::MINOR_VERSION << "\n"
        << "# stan_version_patch = " << stan::PATCH_VERSION << "\n"
        << "# model = " << name_ << "\n";
    if (whole) {
      out << "# start_datetime = " << start_ << "\n";
    }
    print(root_, out, "# ", 0);
    for (const auto& line : compile_info_) {
      if (whole) {
        out << "# " << line << "\n";
      }
    }
    return out.str();
  }

  void write_json(const std::string& file, int digits) const {
    std::ofstream out(file);
    out << "{\n  \"stan_major_version\" : \"" << stan::MAJOR_VERSION << "\",\n"
        << "  \"stan_minor_version\" : \"" << stan::MINOR_VERSION << "\",\n"
        << "  \"stan_patch_version\" : \"" << stan::PATCH_VERSION << "\",\n"
        << "  \"model_name\" : " << quoted(name_) << ",\n"
        << "  \"start_datetime\" : " << quoted(start_);
    for (const argument& child : root_.children) {
      out << ",\n";
      write(child, out, "  ", digits < 0 ? 6 : digits);
    }
    out << ",\n  \"mpi_enabled\" : false";
    for (const auto& line : compile_info_) {
      const auto equals = line.find(" = ");
      if (equals != std::string::npos) {
        out << ",\n  " << quoted(line.substr(0, equals)) << " : " << quoted(line.substr(equals + 3));
      }
    }
    out << "\n}\n";
    if (!out.flush()) {
      throw std::runtime_error("Cannot write output file \"" + file + "\"");
    }
  }

 private:
  const argument& root_;
  std::string name_, start_;
  std::vector<std::string> compile_info_;

  static std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
      if (static_cast<unsigned char>(c) < 0x20) {
        char code[8];
        std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
        out += code;
        continue;
      }
      if (c == '"' || c == '\\' || c == '/') {
        out += '\\';
      }
      out += c;
    }
    return out + "\"";
  }

  static void write(const argument& a, std::ostream& out, const std::string& indent, int digits) {
    out << indent << quoted(a.name) << " : ";
    if (a.what == kind::choice) {
      out << "{\n" << indent << "  \"value\" : " << quoted(a.value);
      for (const argument& option : a.children) {
        if (option.name == a.value && option.what == kind::group) {
          out << ",\n";
          write(option, out, indent + "  ", digits);
        }
      }
      out << "\n" << indent << "}";
    } else if (a.what == kind::text) {
      out << quoted(a.value);
    } else if (a.is_value()) {
      out << shown(a, digits);
    } else {
      out << "{\n";
      for (const argument& child : a.children) {
        write(child, out, indent + "  ", digits);
        out << (&child == &a.children.back() ? "\n" : ",\n");
      }
      out << indent << "}";
    }
  }
};

}  // namespace pyxstan

#endif
