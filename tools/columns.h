#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The columns of the tables: what zsctl(1) documents. Each ends with a column without a name. */

#include "output.h"

extern const struct zsctl_column zsctl_list_columns[];
extern const struct zsctl_column zsctl_usage_columns[];
extern const struct zsctl_column zsctl_iostat_columns[];
extern const struct zsctl_column zsctl_stats_columns[];
extern const struct zsctl_column zsctl_groups_columns[];
extern const struct zsctl_column zsctl_owners_columns[];
extern const struct zsctl_column zsctl_classes_columns[];
extern const struct zsctl_column zsctl_caches_columns[];
extern const struct zsctl_column zsctl_ages_columns[];
extern const struct zsctl_column zsctl_tasks_columns[];
extern const struct zsctl_column zsctl_dictionaries_columns[];
extern const struct zsctl_column zsctl_backing_columns[];
