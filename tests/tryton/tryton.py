"""What people do with Tryton's opportunities, by the application's own API.

usage: tryton.py CONFIG DATABASE PHASE

Prints what the application sees.  That must be the same with leadscore attached
to its tables and without, so there are no times in it.
"""
import logging
import os
import sys
import warnings
from decimal import Decimal

conf, database, phase = sys.argv[1:]
os.environ['DB_NAME'] = database        # Tryton's helpers for tests ask for it
warnings.simplefilter('ignore')
logging.disable(logging.CRITICAL)

from proteus import Model, config  # noqa: E402
tryton = config.set_trytond(database, user='admin', config_file=conf)
# only now, since these choose the kind of database as they are imported
from trytond.modules.company.tests.tools import create_company, get_company  # noqa: E402
from trytond.modules.account.tests.tools import create_chart, get_accounts  # noqa: E402
from trytond.modules.account_invoice.tests.tools import create_payment_term  # noqa: E402


def model(name):
    return Model.get(name)


def one(name, *domain):
    found, = model(name).find(list(domain))
    return found


def be(login):
    """Go on as this user, as the web client would."""
    user = one('res.user', ('login', '=', login))
    tryton.user = user.id
    tryton._context = model('res.user').get_preferences(True, {})


def opportunity(description):
    return one('sale.opportunity', ('description', '=', description))


def party(name):
    return one('party.party', ('name', '=', name))


def show(what, *opportunities):
    for o in opportunities:
        o.reload()
        print('%s: %s %s %s, party %s, %s by %s, %d lines, %d sales' % (
            what, o.description, o.state, o.amount, o.party and o.party.name,
            o.conversion_probability, o.employee and o.employee.rec_name, len(o.lines), len(o.sales)))


def refused(what, action):
    try:
        action()
    except Exception as e:
        print('%s: %s' % (what, type(e).__name__))
    else:
        print('%s: done' % what)


def note(o, message):
    model('ir.note')(resource=o, message=message).save()


def setup():
    create_company()
    company = get_company()
    create_chart(company)
    revenue = get_accounts(company)['revenue']
    create_payment_term().save()
    germany = model('country.country')(name='Germany', code='DE')
    germany.save()

    category = model('product.category')(name='Category', accounting=True, account_revenue=revenue)
    category.save()
    unit = one('product.uom', ('name', '=', 'Unit'))
    template = model('product.template')(
        name='machine', default_uom=unit, type='goods', salable=True, list_price=Decimal(10), account_category=category)
    template.save()

    people = model('party.party')(name='Rep')
    people.save()
    employee = model('company.employee')(party=people)
    employee.save()
    user = model('res.user')(name='Rep', login='rep')
    for group in ('Sale Opportunity', 'Sales'):
        user.groups.append(one('res.group', ('name', '=', group)))
    user.employees.append(employee)
    user.employee = employee
    user.save()

    for name in ('Works', 'Shop', 'Competitor'):
        customer = model('party.party')(name=name)
        address, = customer.addresses
        address.country = germany if name == 'Works' else None
        customer.contact_mechanisms.new(type='email', value='info@%s.example.com' % name.lower())
        customer.save()
    # some are there before anybody thinks of scoring
    be('rep')
    for number in range(3):
        o = model('sale.opportunity')(description='old %d' % number)
        o.party = party('Shop')
        o.amount = Decimal(1000 * number)
        o.save()


def work():
    be('rep')
    Opportunity = model('sale.opportunity')

    # one that comes to something
    big = Opportunity(description='big')
    big.save()
    show('created', big)
    big.party = party('Works')
    big.address, = big.party.addresses
    big.amount = Decimal(12000)
    big.save()
    show('edited', big)
    note(big, 'They called about the machine')
    line = big.lines.new()
    line.product, = model('product.product').find([('name', '=', 'machine')])
    line.quantity = 10
    big.save()
    show('hot', big)
    big.click('opportunity')
    show('an opportunity', big)
    big.click('convert')
    show('converted', big)
    sale, = big.sales
    sale.click('quote')
    show('quoted', big)
    sale.click('confirm')
    show('won', big)

    # several at once
    many = [Opportunity(description='many %d' % n, party=party('Shop'), amount=Decimal(1500 * n)) for n in range(10)]
    Opportunity.save(many)
    show('many', *many)
    for o in many[:4]:
        o.payment_term = one('account.invoice.payment_term')
        o.address, = o.party.addresses
    Opportunity.save(many[:4])
    Opportunity.click(many[:4], 'opportunity')
    Opportunity.click(many[2:4], 'lost')
    Opportunity.click(many[4:6], 'cancel')
    show('many', *many)
    # and back again: the application lets them, and so does leadscore
    Opportunity.click(many[3:5], 'lead')
    Opportunity.click(many[:1], 'lead')
    show('back', *many)
    copies = Opportunity.duplicate(many[:2])
    for n, o in enumerate(copies):
        o.description = 'copy %d' % n
        o.save()
    show('copied', *copies)
    Opportunity.delete(many[8:])
    print('deleted: %d are left' % len(Opportunity.find()))

    # what the application refuses leaves nothing behind
    nobody = Opportunity(description='nobody')
    nobody.save()
    refused('an opportunity of nobody', lambda: nobody.click('opportunity'))
    show('nobody', nobody)
    opportunity('old 0').click('convert')
    refused('no probability', lambda: Opportunity(description='impossible', conversion_probability=2.0).save())
    print('nothing of it: %d' % len(Opportunity.find([('description', '=', 'impossible')])))

    rival = Opportunity(description='rival', party=party('Competitor'), amount=Decimal(50000), conversion_probability=0.9)
    rival.save()
    show('rival', rival)
    stays = Opportunity(description='stays', party=party('Works'), amount=Decimal(20000), conversion_probability=0.9)
    stays.address, = stays.party.addresses
    stays.save()
    show('stays hot', stays)
    falls = Opportunity(description='falls', party=party('Works'), amount=Decimal(20000), conversion_probability=0.9)
    falls.address, = falls.party.addresses
    falls.save()
    falls.amount = Decimal(1)
    falls.save()
    show('falls', falls)


def more():
    """After the update of the database."""
    be('rep')
    Opportunity = model('sale.opportunity')
    new = Opportunity(description='new', party=party('Works'), amount=Decimal(15000), conversion_probability=0.8)
    new.address, = new.party.addresses
    new.payment_term = one('account.invoice.payment_term')
    new.save()
    show('new', new)
    note(new, 'called twice')
    new.click('opportunity')
    show('new', new)
    new.click('convert')
    show('new', new)
    old = opportunity('old 2')
    old.amount = Decimal(30000)
    old.save()
    show('old', old)
    # what its score is made of changes elsewhere
    shop = party('Shop')
    address, = shop.addresses
    address.country = one('country.country')
    address.save()
    be('admin')
    rival = party('Competitor')
    rival.name = 'Partner'
    rival.save()
    be('rep')
    show('rival', opportunity('rival'))
    Opportunity.delete([opportunity('copy 1')])
    print('deleted: %d are left' % len(Opportunity.find()))


globals()[phase]()
