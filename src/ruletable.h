/*-------------------------------------------------------------------------
 *
 * ruletable.h
 *	  The columns of the rule tables, in the order of the install script.
 *
 * The tables belong to the extension, so their columns keep their numbers; a
 * later version adds columns at the end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RULETABLE_H
#define LEADSCORE_RULETABLE_H

#define Anum_model_name				1
#define Anum_model_target			2
#define Anum_model_source			3
#define Anum_model_key_column		4
#define Anum_model_channel			5
#define Anum_model_created_at		6
#define Anum_model_consent			7
#define Anum_model_time_zone		8
#define Anum_model_score_min		9
#define Anum_model_score_max		10
#define Anum_model_fit_min			11
#define Anum_model_fit_max			12
#define Anum_model_engagement_min	13
#define Anum_model_engagement_max	14
#define Anum_model_initial_stage	15
#define Anum_model_accepted_stage	16
#define Anum_model_description		17
#define Anum_model_search_path		18
#define Anum_model_version			19
#define Anum_model_activity_version	20
#define Anum_model_status			21
#define Anum_model_stage_mode		22
#define Anum_model_handoff_stage	23
#define Anum_model_cooldown			24
#define Anum_model_announce			25
#define Natts_model					25

#define Anum_factor_model			1
#define Anum_factor_name			2
#define Anum_factor_axis			3
#define Anum_factor_combine			4
#define Anum_factor_points_floor	5
#define Anum_factor_points_cap		6
#define Natts_factor				7

#define Anum_activity_source_model			1
#define Anum_activity_source_name			2
#define Anum_activity_source_relation		3
#define Anum_activity_source_lead_key		4
#define Anum_activity_source_match_column	5
#define Anum_activity_source_occurred_at	6
#define Anum_activity_source_time_zone		7
#define Anum_activity_source_filter			8
#define Anum_activity_source_event_key		9
#define Anum_activity_source_description	10
#define Anum_activity_source_search_path	11
#define Anum_activity_source_relation_name	12
#define Natts_activity_source				12

#define Anum_rule_id				1
#define Anum_rule_model				2
#define Anum_rule_factor			3
#define Anum_rule_parameter			4
#define Anum_rule_significance		5
#define Anum_rule_condition			6
#define Anum_rule_points			7
#define Anum_rule_disqualifies		8
#define Anum_rule_enabled			9
#define Anum_rule_note				10
#define Anum_rule_search_path		11
#define Anum_rule_activity			12
#define Anum_rule_half_life			13
#define Anum_rule_at_least			14
#define Anum_rule_within			15
#define Anum_rule_at_most			16
#define Anum_rule_inactive_for		17
#define Anum_rule_include_never		18
#define Natts_rule					18

#define Anum_transition_model		1
#define Anum_transition_from_stage	2
#define Anum_transition_to_stage	3
#define Anum_transition_condition	4
#define Anum_transition_automatic	5
#define Anum_transition_description	6
#define Anum_transition_search_path	7
#define Anum_transition_min_attempts 8
#define Natts_transition			8

#define Anum_stage_map_model		1
#define Anum_stage_map_status		2
#define Anum_stage_map_stage		3
#define Natts_stage_map				4

#define Anum_threshold_model		1
#define Anum_threshold_kind			2
#define Anum_threshold_label		3
#define Anum_threshold_at_least		4
#define Anum_threshold_margin		5
#define Anum_threshold_builtin		6
#define Natts_threshold				6

#define Anum_sla_model				1
#define Anum_sla_stage				2
#define Anum_sla_starts				3
#define Anum_sla_request_at			4
#define Anum_sla_respond_within		5
#define Anum_sla_target_within		6
#define Anum_sla_response_activity	7
#define Anum_sla_response_condition 8
#define Anum_sla_response_stages	9
#define Anum_sla_calendar			10
#define Anum_sla_description		11
#define Anum_sla_search_path		12
#define Natts_sla					12

#define Anum_playbook_id			1
#define Anum_playbook_model			2
#define Anum_playbook_temperature	3
#define Anum_playbook_grade			4
#define Anum_playbook_stage			5
#define Anum_playbook_action		6
#define Anum_playbook_content		7
#define Anum_playbook_condition		8
#define Anum_playbook_step			9
#define Anum_playbook_search_path	10
#define Natts_playbook				10

#define Anum_playbook_progress_model	1
#define Anum_playbook_progress_lead_key	2
#define Anum_playbook_progress_playbook	3

extern bool is_restoring(void);

#endif							/* LEADSCORE_RULETABLE_H */
