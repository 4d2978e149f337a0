/*-------------------------------------------------------------------------
 *
 * label.c
 *	  The words that come with the extension, for people to read.
 *
 * They are here rather than in the SQL script so that they can be read as they
 * are written: the script is plain ASCII, since a database may have any
 * encoding.  Words that the database's encoding does not have are left out, and
 * the English ones or the codes stand in for them.
 *
 * Codes with a dot end in a plural form, as Unicode names them: one, few, many,
 * other.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "catalog/namespace.h"
#include "common/string.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

typedef struct Words
{
	const char *kind;
	const char *code;
	const char *english;		/* NULL: there is none */
	const char *polish;
	const char *russian;
} Words;

static const Words all_words[] = {
	{"temperature", "cold", "Cold", "Zimny", "Холодный"},
	{"temperature", "warm", "Warm", "Ciepły", "Тёплый"},
	{"temperature", "hot", "Hot", "Gorący", "Горячий"},

	/* stages have their English names from lead_stage.c */
	{"stage", "disqualified", NULL, "Zdyskwalifikowany", "Дисквалифицирован"},
	{"stage", "lost", NULL, "Utracony", "Потерян"},
	{"stage", "nurture", NULL, "Pielęgnowany", "На прогреве"},
	{"stage", "visitor", NULL, "Odwiedzający", "Посетитель"},
	{"stage", "subscriber", NULL, "Subskrybent", "Подписчик"},
	{"stage", "contact", NULL, "Kontakt", "Контакт"},
	{"stage", "lead", NULL, "Lead", "Лид"},
	{"stage", "prospect", NULL, "Potencjalny klient", "Потенциальный клиент"},
	{"stage", "mql", NULL, "Lead kwalifikowany przez marketing", "Лид, квалифицированный маркетингом"},
	{"stage", "pql", NULL, "Lead kwalifikowany przez produkt", "Лид, квалифицированный продуктом"},
	{"stage", "sal", NULL, "Lead przyjęty przez sprzedaż", "Лид, принятый отделом продаж"},
	{"stage", "sql", NULL, "Lead kwalifikowany przez sprzedaż", "Лид, квалифицированный отделом продаж"},
	{"stage", "opportunity", NULL, "Szansa sprzedaży", "Сделка"},
	{"stage", "customer", NULL, "Klient", "Клиент"},
	{"stage", "advocate", NULL, "Ambasador", "Адвокат бренда"},

	{"significance", "key", "Key", "Kluczowy", "Ключевой"},
	{"significance", "acceptable", "Acceptable", "Akceptowalny", "Приемлемый"},
	{"significance", "negative", "Negative", "Negatywny", "Негативный"},

	{"axis", "fit", "Fit", "Dopasowanie", "Соответствие"},
	{"axis", "engagement", "Engagement", "Zaangażowanie", "Вовлечённость"},

	{"cause", "attach", "model attached", "dołączenie modelu", "подключение модели"},
	{"cause", "row", "lead's data", "dane leada", "данные лида"},
	{"cause", "event", "activity", "aktywność", "активность"},
	{"cause", "decay", "time", "upływ czasu", "течение времени"},
	{"cause", "lookup", "look-up table", "tabela słownikowa", "справочник"},
	{"cause", "rules", "rules", "reguły", "правила"},
	{"cause", "manual", "by hand", "ręcznie", "вручную"},
	{"cause", "status", "CRM's status", "status w CRM", "статус в CRM"},
	{"cause", "pin", "pinned", "przypięcie", "закрепление"},
	{"cause", "unpin", "unpinned", "odpięcie", "открепление"},
	{"cause", "key", "new key", "nowy klucz", "новый ключ"},
	{"cause", "accept", "accepted by sales", "przyjęcie przez sprzedaż", "принятие отделом продаж"},
	{"cause", "reject", "rejected by sales", "odrzucenie przez sprzedaż", "отклонение отделом продаж"},

	/* what reasons are made of; %s is what they are about */
	{"word", "minus", "−", NULL, NULL},
	{"word", "last", "last %s", "ostatnio %s", "последний раз %s"},
	{"word", "ago", "%s ago", "%s temu", "%s назад"},
	{"word", "now", "just now", "przed chwilą", "только что"},
	{"word", "was", "was %s", "było %s", "было %s"},
	{"word", "disqualifies", "disqualifies", "dyskwalifikuje", "дисквалифицирует"},
	{"word", "gained", "gained", "doszło", "добавилось"},
	{"word", "lost", "lost", "odpadło", "отпало"},
	{"word", "score", "score", "wynik", "оценка"},
	{"word", "cap", "upper limit", "limit górny", "верхний предел"},
	{"word", "floor", "lower limit", "limit dolny", "нижний предел"},
	{"word", "clamp", "limits of the model", "granice modelu", "пределы модели"},
	{"word", "rounding", "rounding", "zaokrąglenie", "округление"},
	{"word", "counts", "counts %s", "teraz %s", "теперь %s"},
	{"word", "instead", "instead of %s", "zamiast %s", "вместо %s"},
	{"word", "counted", "counts no longer: %s", "już nie: %s", "больше нет: %s"},
	{"word", "disqualified", "disqualifies no longer", "już nie dyskwalifikuje", "больше не дисквалифицирует"},
	{"word", "thresholds", "other thresholds", "inne progi", "другие пороги"},
	{"word", "transitions", "other transitions", "inne przejścia", "другие переходы"},
	{"word", "minute.one", "%s minute", "%s minutę", "%s минуту"},
	{"word", "minute.few", NULL, "%s minuty", "%s минуты"},
	{"word", "minute.many", NULL, "%s minut", "%s минут"},
	{"word", "minute.other", "%s minutes", "%s minuty", "%s минуты"},
	{"word", "hour.one", "%s hour", "%s godzinę", "%s час"},
	{"word", "hour.few", NULL, "%s godziny", "%s часа"},
	{"word", "hour.many", NULL, "%s godzin", "%s часов"},
	{"word", "hour.other", "%s hours", "%s godziny", "%s часа"},
	{"word", "day.one", "%s day", "%s dzień", "%s день"},
	{"word", "day.few", NULL, "%s dni", "%s дня"},
	{"word", "day.many", NULL, "%s dni", "%s дней"},
	{"word", "day.other", "%s days", "%s dnia", "%s дня"},
	{"word", "time.one", "once", "raz", "%s раз"},
	{"word", "time.few", NULL, "%s razy", "%s раза"},
	{"word", "time.many", NULL, "%s razy", "%s раз"},
	{"word", "time.other", "%s times", "%s razy", "%s раза"},

	/* activity sources, by the names that templates give them */
	{"activity", "visit.one", "%s visit", "%s wizyta", "%s визит"},
	{"activity", "visit.few", NULL, "%s wizyty", "%s визита"},
	{"activity", "visit.many", NULL, "%s wizyt", "%s визитов"},
	{"activity", "visit.other", "%s visits", "%s wizyty", "%s визита"},
	{"activity", "form.one", "%s form", "%s formularz", "%s форма"},
	{"activity", "form.few", NULL, "%s formularze", "%s формы"},
	{"activity", "form.many", NULL, "%s formularzy", "%s форм"},
	{"activity", "form.other", "%s forms", "%s formularza", "%s формы"},
	{"activity", "email.one", "%s e-mail", "%s e-mail", "%s письмо"},
	{"activity", "email.few", NULL, "%s e-maile", "%s письма"},
	{"activity", "email.many", NULL, "%s e-maili", "%s писем"},
	{"activity", "email.other", "%s e-mails", "%s e-maila", "%s письма"},
	{"activity", "webinar.one", "%s webinar", "%s webinar", "%s вебинар"},
	{"activity", "webinar.few", NULL, "%s webinary", "%s вебинара"},
	{"activity", "webinar.many", NULL, "%s webinarów", "%s вебинаров"},
	{"activity", "webinar.other", "%s webinars", "%s webinaru", "%s вебинара"},
	{"activity", "conference.one", "%s conference", "%s konferencja", "%s конференция"},
	{"activity", "conference.few", NULL, "%s konferencje", "%s конференции"},
	{"activity", "conference.many", NULL, "%s konferencji", "%s конференций"},
	{"activity", "conference.other", "%s conferences", "%s konferencji", "%s конференции"},
	{"activity", "chat.one", "%s chat", "%s rozmowa", "%s чат"},
	{"activity", "chat.few", NULL, "%s rozmowy", "%s чата"},
	{"activity", "chat.many", NULL, "%s rozmów", "%s чатов"},
	{"activity", "chat.other", "%s chats", "%s rozmowy", "%s чата"},
};

/*
 * A word in the database's encoding; NULL if that does not have it.
 */
static char *
word_to_server(const char *word)
{
	int			encoding = GetDatabaseEncoding();
	int			length = strlen(word);
	int			size = length * MAX_CONVERSION_GROWTH + 1;
	Oid			conversion;
	char	   *converted;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || pg_is_ascii(word))
		return pstrdup(word);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
		return NULL;
	converted = palloc(size);
	if (pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
									  (unsigned char *) word, length,
									  (unsigned char *) converted, size, true) < length)
		return NULL;
	return converted;
}

static void
put_word(ReturnSetInfo *rsinfo, const char *kind, const char *code,
		 const char *language, const char *word)
{
	char	   *label = word == NULL ? NULL : word_to_server(word);
	Datum		values[4];
	bool		nulls[4] = {false};

	if (label == NULL)
		return;
	values[0] = CStringGetTextDatum(kind);
	values[1] = CStringGetTextDatum(code);
	values[2] = CStringGetTextDatum(language);
	values[3] = CStringGetTextDatum(label);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * leadscore._builtin_labels()
 *		All words of which the database's encoding has the letters.
 */
PG_FUNCTION_INFO_V1(leadscore_builtin_labels);
Datum
leadscore_builtin_labels(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(all_words); i++)
	{
		const Words *words = &all_words[i];

		put_word(rsinfo, words->kind, words->code, "en", words->english);
		put_word(rsinfo, words->kind, words->code, "pl", words->polish);
		put_word(rsinfo, words->kind, words->code, "ru", words->russian);
	}
	return (Datum) 0;
}
